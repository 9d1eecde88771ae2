"""The order of the tests."""


def pytest_collection_modifyitems(items):
    """Begin with tests that wait for SLURM, as the others have the cores meanwhile; then come long ones."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("slurm", "long")])
