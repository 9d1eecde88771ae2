"""The order of the tests."""


def pytest_collection_modifyitems(items):
    """What waits for SLURM comes first, as the others have the cores meanwhile; then what takes long."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("slurm", "long")])
