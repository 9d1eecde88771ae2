"""AVA's score against outputs of the two reference scripts (tests/fixtures/metrics) and a plain implementation."""

import gzip
import heapq
import json
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.paths import FIXTURES
from trainer.metrics import ava_official
from trainer.metrics.ava import (
    average_precision,
    box_iou,
    frame_map,
    judge_test,
    match,
    official_input,
    score_test,
    score_validation,
    write_official_files,
)
from trainer.metrics.ava_csv import (
    Detections,
    GroundTruth,
    every_fourth_second,
    read_detections,
    read_exclusions,
    read_ground_truth,
    read_label_map,
    to_detections,
    write_all_digits,
    write_detections,
)
from trainer.utils.errors import InputError

DATA = FIXTURES / "metrics"
LABEL_MAP = DATA / "small_a" / "labelmap.pbtxt"
OFFICIAL = "official_activitynet_script"
OFFICIAL_EXCLUDED = "official_activitynet_script_after_dropping_excluded_rows"
FILE_ORDER = "ties_in_reverse_file_order (argsort stable, reversed)"


def load(name, detections):
    """Ground truth, detections, classes, excluded seconds and what the references made of them."""
    folder = DATA / name
    suffix = ".gz" if name == "medium_a" else ""
    return (
        read_ground_truth(folder / f"gt.csv{suffix}"),
        read_detections(folder / f"{detections}.csv{suffix}"),
        read_label_map(folder / "labelmap.pbtxt"),
        read_exclusions(folder / "exclusions.csv"),
        json.loads((folder / "expected.json").read_text())[f"{detections}.csv"],
    )


def aps(expected):
    return np.array([np.nan if ap is None else ap for ap in expected["per_class_ap"].values()])


def assert_same(table, expected):
    np.testing.assert_allclose(table["ap"], aps(expected), rtol=0, atol=1e-9, equal_nan=True)
    assert table["ap"].mean() == pytest.approx(expected["mAP@0.5"], abs=1e-9)


def assert_same_counts(table, expected):
    for ours, theirs in (("positives", "num_gt"), ("detections", "num_det"), ("true_positives", "num_tp")):
        assert table[ours].tolist() == list(expected[theirs].values())


@pytest.mark.parametrize("name", ["small_a", "medium_a"])
def test_equal_to_both_references_without_ties(name):
    truth, detections, classes, excluded, expected = load(name, "det_noties")
    table = frame_map(truth, detections, classes, excluded)
    assert table["class_id"].tolist() == [int(number) for number in expected["per_class_ap"]]
    for scored, reference in (
        (table, expected),
        (frame_map(truth, detections, classes, protocol="official"), expected[OFFICIAL]),
        (frame_map(truth, detections, classes, excluded, protocol="official"), expected[OFFICIAL_EXCLUDED]),
    ):
        assert_same(scored, reference)
        assert_same_counts(scored, reference)


@pytest.mark.parametrize("name", ["small_a", "medium_a"])
def test_equal_to_alphactions_evaluator_without_ties(name):
    results = json.loads((FIXTURES / "vit" / "ava_eval_alphaction.json").read_text())["results"]
    [wanted] = [r for r in results if (r["set"], r["detections"]) == (f"ava_eval/{name}", "det_noties.csv")]
    table = frame_map(*load(name, "det_noties")[:4], protocol="alphaction").set_index("name")["ap"]
    for action, ap in wanted["ap_of_class"].items():
        assert table[action] == pytest.approx(np.nan if ap is None else ap, abs=1e-9, nan_ok=True), action
    assert table.mean() == pytest.approx(wanted["mAP"], abs=1e-9)


@pytest.mark.parametrize(("name", "tolerance"), [("small_a", 3.5e-3), ("medium_a", 1e-4)])
def test_close_to_alphactions_evaluator_with_ties(name, tolerance):
    results = json.loads((FIXTURES / "vit" / "ava_eval_alphaction.json").read_text())["results"]
    [wanted] = [r for r in results if (r["set"], r["detections"]) == (f"ava_eval/{name}", "det.csv")]
    ours = frame_map(*load(name, "det")[:4], protocol="alphaction")["ap"].mean()
    assert ours == pytest.approx(wanted["mAP"], abs=tolerance)


@pytest.mark.parametrize("name", ["small_a", "medium_a"])
def test_ties_rank_later_rows_first(name):
    truth, detections, classes, excluded, expected = load(name, "det")
    table = frame_map(truth, detections, classes, excluded)
    assert_same(table, expected["tie_order_variants"][FILE_ORDER])
    assert_same_counts(table, expected)
    low, high = (aps(bound) for key, bound in sorted(expected["tie_order_variants"].items()) if "bound" in key)
    given = ~np.isnan(low)
    assert (table["ap"][given] >= low[given] - 1e-12).all()
    assert (table["ap"][given] <= high[given] + 1e-12).all()


@pytest.mark.parametrize("name", ["small_a", "medium_a"])
def test_official_script_lies_within_the_orders_of_ties(name):
    truth, detections, classes, excluded, expected = load(name, "det")
    for dropped, key in (((), OFFICIAL), (excluded, OFFICIAL_EXCLUDED)):
        matched = match(truth, detections, classes, dropped, "official")
        for label, theirs in enumerate(aps(expected[key])):
            rows = matched.label == label
            score, hit, positives = matched.score[rows], matched.hit[rows], matched.positives[label]
            if positives:
                last, first = np.lexsort((~hit, score)), np.lexsort((hit, score))
                assert average_precision(score[last], hit[last], positives) <= theirs + 1e-12
                assert average_precision(score[first], hit[first], positives) >= theirs - 1e-12
        assert_same_counts(frame_map(truth, detections, classes, dropped, protocol="official"), expected[key])


@pytest.mark.parametrize("case", json.loads((DATA / "micro_cases.json").read_text())["cases"], ids=lambda c: c["name"])
def test_micro_cases(case, tmp_path):
    for name in ("gt", "det", "exclusions"):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in case[name]))
    truth, detections = read_ground_truth(tmp_path / "gt"), read_detections(tmp_path / "det")
    classes, excluded = read_label_map(LABEL_MAP), read_exclusions(tmp_path / "exclusions")
    for table, expected in (
        (frame_map(truth, detections, classes, excluded), case["expected"]),
        (frame_map(truth, detections, classes, protocol="official"), case["official_activitynet"]),
    ):
        assert table["ap"].mean() == pytest.approx(expected["mAP@0.5"], abs=1e-12)
        found = table.dropna().set_index("class_id")["ap"]
        assert found.to_dict() == pytest.approx(
            {int(key): ap for key, ap in expected["per_class_ap"].items()}, abs=1e-12
        )


# A plain implementation, row by row: (video, second, (x1, y1, x2, y2), action, person or score).


def plain_frame_map(truth, detections, classes, excluded, protocol, capacity):
    """AP, positives, detections and true positives by class."""
    images = {}
    for number, (video, second, box, action, score) in enumerate(detections):
        if action in classes and (video, second) not in excluded:
            images.setdefault((video, second), []).append((number, box, action, score))
    if protocol == "official":
        present = {row[:2] for row in truth if row[:2] not in excluded}
        images = {image: keep_best(rows, capacity) for image, rows in images.items() if image in present}
        truth = sorted(truth, key=lambda row: -row[4])
    if protocol == "alphaction":
        images = {image: sorted(rows, key=lambda row: -row[3]) for image, rows in images.items()}
    result = {}
    for wanted in classes:
        boxes = [row for row in truth if row[3] == wanted and row[:2] not in excluded]
        outcome = []
        for image, rows in images.items():
            here = [row[2] for row in boxes if row[:2] == image]
            outcome += judge([row for row in rows if row[2] == wanted], here)
        result[wanted] = (plain_ap(outcome, len(boxes)), len(boxes), len(outcome), sum(hit for _, hit in outcome))
    return result


def keep_best(rows, capacity):
    heap = []
    for number, box, action, score in rows:
        x1, y1, x2, y2 = box
        entry = (score, action, y1, x1, y2, x2, -number, box)
        if len(heap) < capacity:
            heapq.heappush(heap, entry)
        elif score > heap[0][0]:
            heapq.heapreplace(heap, entry)
    kept = [(-entry[6], entry[7], entry[1], entry[0]) for entry in heap]
    return sorted(sorted(kept), key=lambda row: -row[3])


def judge(rows, boxes):
    """(score, true positive) of the rows that have extent, in order."""
    outcome, taken = [], set()
    for _, (x1, y1, x2, y2), _, score in rows:
        if x1 < x2 and y1 < y2:
            overlaps = [float(box_iou(np.array([[x1, y1, x2, y2]]), np.array([box]))[0]) for box in boxes]
            best = overlaps.index(max(overlaps)) if overlaps else None
            hit = best is not None and overlaps[best] >= 0.5 and best not in taken
            if hit:
                taken.add(best)
            outcome.append((score, hit))
    return outcome


def plain_ap(outcome, positives):
    if not positives:
        return np.nan
    ranked = sorted(outcome, key=lambda item: item[0])[::-1]
    precision, recall, hits = [], [], 0
    for rank, (_, hit) in enumerate(ranked, 1):
        hits += hit
        precision.append(hits / rank)
        recall.append(hits / positives)
    gained = np.diff(recall, prepend=0)
    return sum(gain * max(precision[place:]) for place, gain in enumerate(gained))


def arrays(rows, kind, last):
    video, second, box, action, value = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    columns = {
        "videos": np.array(["a", "b"], dtype=object),
        "video": np.array(["ab".index(name) for name in video], dtype=np.int32),
        "second": np.array(second, dtype=np.int32),
        "box": np.array(box, dtype=float).reshape(-1, 4),
        "action": np.array(action, dtype=np.int32),
        last: np.array(value, dtype=float),
    }
    return kind(**columns)


corner = st.integers(0, 3)
rows = st.tuples(
    st.sampled_from("ab"),
    st.integers(902, 903),
    st.tuples(corner, corner, corner.map(lambda x: x + 2), corner.map(lambda y: y + 2)),
    st.integers(1, 4),
    st.integers(0, 3),
)
# x1 == x2 and y1 > y2 come up among detections; ground truth has extent, as AVA's.
truths = rows.filter(lambda row: row[2][0] < row[2][2] and row[2][1] < row[2][3])


@settings(max_examples=400, deadline=None)
@given(
    truth=st.lists(truths, min_size=1, max_size=15),
    detections=st.lists(rows, max_size=40),
    excluded=st.sets(st.tuples(st.sampled_from("abc"), st.integers(902, 905)), max_size=2),
    protocol=st.sampled_from(["published", "official", "alphaction"]),
    capacity=st.integers(1, 6),
)
def test_equal_to_a_plain_implementation(truth, detections, excluded, protocol, capacity):
    classes = {3: "three", 1: "one", 2: "two"}
    with mock.patch.object(ava_official, "IMAGE_CAPACITY", capacity):
        found = arrays(detections, Detections, "score")
        table = frame_map(arrays(truth, GroundTruth, "person"), found, classes, excluded, protocol)
    expected = plain_frame_map(truth, detections, classes, excluded, protocol, capacity)
    assert table["class_id"].tolist() == list(expected)
    assert table["name"].tolist() == list(classes.values())
    ours = table[["ap", "positives", "detections", "true_positives"]].to_numpy()
    np.testing.assert_allclose(ours, list(expected.values()), rtol=0, atol=1e-12)


def one_image(rows, kind, last):
    """Boxes of one image from (box, action, person or score)."""
    return arrays([("a", 902, *row) for row in rows], kind, last)


def test_one_box_is_compared_with_all():
    others = np.array([[0, 0, 0.5, 1], [0.25, 0, 0.75, 1], [0.6, 0, 1, 1]])
    assert box_iou(np.array([[0, 0, 0.5, 1]]), others).tolist() == [1, pytest.approx(1 / 3), 0]


def test_first_of_equally_overlapping_boxes():
    left, right, between = (0, 0, 4, 1), (2, 0, 6, 1), (1, 0, 5, 1)  # IoU 0.6 with both
    found = one_image([(between, 1, 0.9), (left, 1, 0.8)], Detections, "score")

    def hits(protocol, *boxes):
        truth = one_image([(box, 1, person) for box, person in boxes], GroundTruth, "person")
        return frame_map(truth, found, {1: "one"}, protocol=protocol)["true_positives"][0]

    # Where `between` takes the left box, nothing is left for the second detection.
    assert hits("published", (left, 1), (right, 2)) == 1
    assert hits("published", (right, 1), (left, 2)) == 2
    assert hits("official", (left, 1), (right, 2)) == 2  # the higher person number comes first
    assert hits("official", (right, 1), (left, 2)) == 1


@pytest.mark.parametrize(("others", "kept"), [(49, 1), (50, 0)])
def test_official_script_keeps_fifty_of_an_image(others, kept):
    elsewhere, box = (5, 5, 6, 6), (0, 0, 1, 1)
    found = one_image([(box, 1, 0.1)] + [(elsewhere, 2, 0.9)] * others, Detections, "score")
    truth = one_image([(box, 1, 1)], GroundTruth, "person")
    table = frame_map(truth, found, {1: "one", 2: "two"}, protocol="official")
    assert table["true_positives"].tolist() == [kept, 0]
    assert table["detections"].tolist() == [kept, others]


def test_ties_for_the_last_place_go_as_in_the_official_scripts_heap():
    box = (0, 0, 1, 1)
    truth = one_image([(box, 1, 1)], GroundTruth, "person")
    rows = [(box, 3, 0.5), (box, 1, 0.5), (box, 4, 0.5), (box, 2, 0.9)]  # 4 finds the heap full, then 2 pushes out 1
    with mock.patch.object(ava_official, "IMAGE_CAPACITY", 2):
        table = frame_map(truth, one_image(rows, Detections, "score"), dict.fromkeys([1, 2, 3, 4], ""), (), "official")
    assert table["detections"].tolist() == [0, 1, 1, 0]


def test_predictions_become_rows_in_the_published_order(tmp_path):
    rows = json.loads((DATA / "ava_eval_rows.json").read_text())
    video, second = np.array(rows["metadata_videoidx_second"]).T.astype(int)
    boxes = np.array(rows["boxes_batchidx_x1y1x2y2_float32"], dtype=np.float32)[:, 1:]
    scores = np.array(rows["scores_float32"], dtype=np.float32)
    names = [rows["video_names"][number] for number in video]
    detections = to_detections(boxes, scores, names, second, read_label_map(LABEL_MAP))

    write_detections(tmp_path / "detections.csv", detections)
    assert (tmp_path / "detections.csv").read_text().splitlines() == rows["expected_csv_lines"]
    keys = [
        f"{detections.videos[v]},{s:04d}" for v, s in zip(detections.video, detections.second.tolist(), strict=True)
    ]
    assert list(dict.fromkeys(keys)) == rows["expected_image_keys_in_order"]
    # The score sees the network's numbers, not the file's.
    assert detections.score.dtype == np.float32
    assert detections.score[1] == scores[0, 2]
    assert (detections.box[0] == boxes[0]).all()


def test_no_predictions_are_no_detections(tmp_path):
    empty = to_detections(np.zeros((0, 4)), np.zeros((0, 80)), [], [], read_label_map(LABEL_MAP))
    write_detections(tmp_path / "detections.csv", empty)
    truth, _, classes, *_ = load("small_a", "det")
    table = frame_map(truth, read_detections(tmp_path / "detections.csv"), classes)
    assert table["ap"].max() == 0
    assert frame_map(truth, empty, classes, protocol="official").equals(table)


def test_written_gzip_reads_back_and_repeats_byte_for_byte(tmp_path):
    *_, detections, _, _, _ = load("small_a", "det")
    for name in ("one.csv.gz", "two.csv.gz"):
        write_detections(tmp_path / name, detections)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()) == (DATA / "small_a" / "det.csv").read_bytes()


def test_numbers_are_read_as_python_reads_them():
    detections = read_detections(DATA / "small_a" / "det_noties.csv")
    lines = [line.split(",") for line in (DATA / "small_a" / "det_noties.csv").read_text().split()]
    assert detections.score.tolist() == [float(line[7]) for line in lines]
    assert detections.box.tolist() == [[float(text) for text in line[2:6]] for line in lines]


@pytest.mark.parametrize("detected", ["det", "det_noties"])
@pytest.mark.parametrize("name", ["small_a", "medium_a"])
def test_official_files_need_no_list_of_excluded_seconds(name, detected, tmp_path):
    truth, detections, classes, excluded, expected = load(name, detected)
    for path, part in zip(
        ("truth.csv.gz", "found.csv"), official_input(truth, detections, classes, excluded), strict=True
    ):
        write_all_digits(tmp_path / path, part)
    part, found = read_ground_truth(tmp_path / "truth.csv.gz"), read_detections(tmp_path / "found.csv")
    table = frame_map(part, found, classes, protocol="official")
    assert table.equals(frame_map(truth, detections, classes, excluded, protocol="official"))
    assert_same_counts(table, expected[OFFICIAL_EXCLUDED])
    if detected == "det_noties":
        assert_same(table, expected[OFFICIAL_EXCLUDED])
    _, rows_of_image = np.unique([found.video, found.second], axis=1, return_counts=True)
    assert rows_of_image.max() <= 50
    assert len(found) < len(detections)
    assert len(part) < len(truth)


@settings(max_examples=200, deadline=None)
@given(
    truth=st.lists(truths, min_size=1, max_size=15),
    detections=st.lists(rows, max_size=40),
    excluded=st.sets(st.tuples(st.sampled_from("abc"), st.integers(902, 905)), max_size=2),
    capacity=st.integers(1, 6),
)
def test_official_files_leave_the_result_the_same_with_ties(truth, detections, excluded, capacity):
    classes = {3: "three", 1: "one", 2: "two"}
    truth, found = arrays(truth, GroundTruth, "person"), arrays(detections, Detections, "score")
    with mock.patch.object(ava_official, "IMAGE_CAPACITY", capacity):
        expected = frame_map(truth, found, classes, excluded, "official")
        assert frame_map(*official_input(truth, found, classes, excluded), classes, (), "official").equals(expected)


def made_up_validation(folder):
    """Paths as of a run's config and predictions of its test videos: float32, several boxes of 80 scores a second."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.4, (60, 2))
    box = np.concatenate([corner, corner + rng.uniform(0.2, 0.6, (60, 2))], axis=1).astype(np.float32)
    video, second = np.repeat(["-a", "b"], 30), np.tile(np.arange(902, 908).repeat(5), 2)
    score = rng.uniform(0, 1, (60, 80)).astype(np.float32)
    score[::7, :40] = 1  # as a sigmoid in float32 gives above 17
    lines = [
        f"{name},{s:04d},{','.join(f'{x:.3f}' for x in where)},{action},{person}"
        for name, s, where, person in zip([*video, "untested"], [*second, 902], [*box, box[0]], range(61), strict=True)
        for action in rng.choice(np.arange(1, 81), 4, replace=False)
    ]
    (folder / "truth.csv").write_text("\n".join(lines))
    (folder / "excluded.csv").write_text("-a,0903\nb,0904\n")
    (folder / "test.csv").write_text("video,second,center\n-a,902,60\nb,902,60\n")
    data = SimpleNamespace(
        protocol="published",
        test=folder / "test.csv",
        ground_truth=folder / "truth.csv",
        excluded=folder / "excluded.csv",
        label_map=LABEL_MAP,
    )
    return data, {"video": video, "second": second, "box": box, "score": score}


def test_score_and_official_files_of_predictions(tmp_path):
    data, predictions = made_up_validation(tmp_path)
    table, means = score_test(data, predictions)
    assert means == {"mAP": table["ap"].mean(), "official_mAP": table["official_ap"].mean()}
    assert 0 < means["mAP"] != means["official_mAP"] > 0

    write_official_files(data, predictions, tmp_path)
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.gz")]
    assert sorted(written) == ["detections.csv.gz", "official/detections.csv.gz", "official/ground_truth.csv.gz"]
    assert len(read_detections(tmp_path / "detections.csv.gz")) == 60 * 60
    truth = read_ground_truth(tmp_path / "official/ground_truth.csv.gz")
    found = read_detections(tmp_path / "official/detections.csv.gz")
    assert set(truth.videos) == {"-a", "b"}
    assert len(found) == 10 * 50  # of each second that is not excluded
    official = frame_map(truth, found, read_label_map(LABEL_MAP), protocol="official")["ap"]
    assert official.equals(table["official_ap"])
    assert official.mean() == means["official_mAP"]


@pytest.mark.parametrize("protocol", ["published", "alphaction"])
def test_hits_are_judged_by_the_protocol_of_the_run(protocol, tmp_path):
    data, predictions = made_up_validation(tmp_path)
    data.protocol = protocol
    table, _ = score_test(data, predictions)
    judged = judge_test(data, predictions).groupby("name", observed=True)
    ap = [
        average_precision(*(judged.get_group(row.name)[["score", "hit"]].to_numpy().T), row.positives)
        for row in table.itertuples(index=False)
    ]
    np.testing.assert_array_equal(ap, table.ap)


def test_validation_scores_every_fourth_second(tmp_path):
    data, predictions = made_up_validation(tmp_path)
    some = predictions["second"] % 4 == 0
    truth, classes = read_ground_truth(data.ground_truth), read_label_map(LABEL_MAP)
    truth = truth.select((truth.second % 4 == 0) & (truth.videos[truth.video] != "untested"))
    found = to_detections(*(predictions[name][some] for name in ("box", "score", "video", "second")), classes)
    expected = frame_map(truth, found, classes, read_exclusions(data.excluded))["ap"].mean()
    part = {name: column[some] for name, column in predictions.items()}
    assert score_validation(data, part) == expected > 0


def test_while_training_every_fourth_second_counts():
    truth, *_ = load("small_a", "det")
    some = every_fourth_second(truth)
    assert 0 < len(some) < len(truth)
    assert set(some.second.tolist()) == {second for second in truth.second.tolist() if second % 4 == 0}
    assert len({len(column) for column in (some.video, some.second, some.box, some.action, some.person)}) == 1


def test_label_map_in_both_spellings(tmp_path):
    classes = read_label_map(LABEL_MAP)
    assert len(classes) == 60
    assert classes[1] == "bend/bow (at the waist)"
    other = tmp_path / "ava_action_list_v2.2.pbtxt"
    other.write_text("label {\n  name: \"fight: 'hit'\"\n  label_id: 64\n  label_type: PERSON_INTERACTION\n}\n")
    assert read_label_map(other) == {64: "fight: 'hit'"}


@pytest.mark.parametrize("name", ['=HYPERLINK("x")', "@SUM(A1)", "-1", "a\tb"])
def test_a_class_that_a_spreadsheet_would_take_for_a_formula(name, tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text(f"item {{\n  name: '{name}'\n  id: 1\n}}\n")
    with pytest.raises(InputError, match=f"^{path}, line 2: expected text without control characters"):
        read_label_map(path)


ROW = "v,0902,0.1,0.1,0.5,0.9,1"


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (
            read_detections,
            f"{ROW},0.5\n\n{ROW}\n",
            "line 3: 7 columns, not 8 (video, second, x1, y1, x2, y2, action, score)",
        ),
        (read_detections, f"{ROW},0.5,7\n", "line 1: 9 columns, not 8"),
        (read_detections, f"{ROW},0.5\n{ROW},0.5,7\n", "line 2: 9 columns, not 8"),
        (read_detections, f"{ROW},0.5\n{ROW},high\n", "line 2: score is 'high', not a number"),
        (read_detections, f"{ROW},0.5\n{ROW},nan\n", "line 2: score is 'nan', not a number"),
        (read_detections, f"{ROW},inf\n", "line 1: score is 'inf', not a number"),
        (read_ground_truth, f"{ROW}\n{ROW},3\nv,0902,0.1,0.1,0.5,0.9\n", "line 3: 6 columns, not 7 or 8"),
        (read_ground_truth, "v,902.5,0.1,0.1,0.5,0.9,1\n", "line 1: second is '902.5', not an integer"),
        (read_ground_truth, "v,902,0.1,,0.5,0.9,1\n", "line 1: y1 is '', not a number"),
        (read_ground_truth, "", "holds no box"),
        (read_ground_truth, "v,902,30,20,300,200,1\n", "line 1: x1 is '30', not a number from -1 to 2"),
        (read_ground_truth, "v,902,0.1,0.1,0.5,0.9,81\n", "line 1: action is '81', not an integer from -1 to 80"),
        (read_ground_truth, f"{ROW}\n v,902,0.1,0.1,0.5,0.9,1\n", "line 2: video is ' v', not a name without spaces"),
        (read_exclusions, "v,902\n\x1b[2Jv,902\n", "line 2: a control character ('\\x1b')"),
        (read_ground_truth, f"{ROW}\n\nv,902,0.5,0.1,0.1,0.9,1\n", "line 3: a box without extent, 0.5, 0.1, 0.1, 0.9"),
        (read_ground_truth, "v,902,0.1,0.9,0.5,0.9,1\n", "line 1: a box without extent"),
        (read_ground_truth, "v,1000000000,0,0,0.5,0.9,1\n", "second is '1000000000', not an integer from 0 to 99999"),
        (read_ground_truth, f"{ROW}\nv,-5,0.1,0.1,0.5,0.9,1\n", "line 2: second is '-5', not an integer from 0"),
        (read_detections, "v,3000000000,0.1,0.1,0.5,0.9,1,1\n", "line 1: second is '3000000000', not an integer"),
        (read_detections, f"v,{'9' * 40},0.1,0.1,0.5,0.9,1,1\n", "line 1: second is '99999"),
        (read_detections, "v,902,0.1,0.1,0.5,0.9,3000000000,1\n", "line 1: action is '3000000000', not an integer"),
        (read_detections, '"' + f"{ROW},1\n" * 10_000, ": field larger than field limit"),
        (read_detections, "<!DOCTYPE html>\n", "line 1: this is an HTML page, not a table"),
        (read_exclusions, "v,1000000000\n", "line 1: second is '1000000000', not an integer"),
        (read_exclusions, "v,0902\nv\n", "line 2: 1 columns, not 2 (video, second)"),
        (
            read_label_map,
            'item {\n  name: "sit"\n  id: 11\n}\nitem {\n  id: 12\n}\n',
            "line 6: 'id: 12' must be a new number",
        ),
        (read_label_map, 'item {\n  name: "sit"\n}\nitem {\n  name: "run"\n  id: 2\n}\n', "line 5: a name, but 'sit' "),
        (
            read_label_map,
            'name: "sit"\nid: 1\n}\nitem {\n  name: "run"\n}\n',
            "ends after the name 'run', which has no id",
        ),
        (read_label_map, 'name: "sit"\nid: 1\nname: "sit"\nid: 2\n', "line 3: name 'sit' must be new and not empty"),
        (read_label_map, 'name: ""\nid: 1\n', "line 1: name '' must be new and not empty"),
        (read_label_map, 'name: "sit"\nid: 9999999999\n', "line 2: 'id: 9999999999' must be a new number"),
        (read_label_map, 'name: "sit"\nid: ²\n', "line 2: 'id: ²' must be a new number"),
        (read_label_map, "sit\nstand\n", "holds no class"),
        (read_label_map, 'item {\n  name: "sit"\n  id: 1\n}\nitem {\n  name: "ru', "ends within an entry"),
    ],
)
def test_a_bad_file_is_named_with_its_line(read, text, message, tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("read", "text"),
    [(read_ground_truth, ROW), (read_exclusions, "v,902"), (read_label_map, 'name: "sit"\nid: 1')],
)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_other_encodings_are_refused(read, text, encoding, tmp_path):
    (tmp_path / "file.csv").write_text(text, encoding)
    with pytest.raises(InputError, match=r"file\.csv.*expected UTF-8"):
        read(tmp_path / "file.csv")


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(f"{ROW}\n", "utf-8-sig")
    assert read_ground_truth(path).videos.tolist() == ["v"]
    path.write_text('name: "sit"\nid: 1\n', "utf-8-sig")
    assert read_label_map(path) == {1: "sit"}


def test_a_label_map_of_one_line_entries(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text('item { name: "id: 3" id: 2 }\n# name: "none"\nitem { name: \'a "b"\' id: 4 }\n')
    assert read_label_map(path) == {2: "id: 3", 4: 'a "b"'}


def test_missing_and_torn_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        read_detections(tmp_path / "nowhere.csv")
    torn = tmp_path / "torn.csv.gz"
    torn.write_bytes((DATA / "medium_a" / "gt.csv.gz").read_bytes()[:5000])
    with pytest.raises(InputError, match=r"torn\.csv\.gz: cannot be read"):
        read_ground_truth(torn)


def test_no_second_excluded(tmp_path):
    (tmp_path / "excluded.csv").write_text("")
    assert read_exclusions(tmp_path / "excluded.csv") == set()


def test_ground_truth_with_and_without_person_mixes(tmp_path):
    (tmp_path / "truth.csv").write_text(f"{ROW}\n{ROW},3\nNA,902,0.1,0.1,0.5,0.9,1,\n")
    truth = read_ground_truth(tmp_path / "truth.csv")
    assert truth.person.tolist() == [1, 3, 1]
    assert truth.videos[truth.video].tolist() == ["v", "v", "NA"]
    assert truth.second.tolist() == [902, 902, 902]


def test_scores_that_are_not_finite_and_unknown_protocols_are_refused():
    truth, detections, classes, *_ = load("small_a", "det")
    detections = replace(detections, score=np.where(np.arange(len(detections)) == 3, np.nan, detections.score))
    with pytest.raises(InputError, match="1 of 412 scores are not finite"):
        frame_map(truth, detections, classes)
    with pytest.raises(ValueError, match="'published', 'official' or"):
        frame_map(truth, detections, classes, protocol="coco")
