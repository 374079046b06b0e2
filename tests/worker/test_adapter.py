# SPDX-License-Identifier: MPL-2.0
"""What a detector of one's own may leave out, and what it hears when it gets something wrong."""

import sys

import msgspec
import numpy as np
import pytest
from worker_process import frame_message, jpeg, jpeg_message

import orion_worker
from orion_worker.adapter import RESERVED, Adapter, default_names
from orion_worker.detector import Attention, Detection, Inference, Models, Picture
from orion_worker.errors import WorkerError
from orion_worker.framing import Message
from orion_worker.intake import take_in

IMAGE = np.zeros((24, 32, 3), np.uint8)
PICTURE = Picture(IMAGE, (32, 24))


class Least:
    def infer(self, image, attention):
        return []


def made(**members: object) -> Adapter:
    return Adapter(type("MyDetector", (Least,), members)())


@pytest.mark.parametrize(
    ("class_name", "name", "result_type"),
    [
        ("MyDetector", "my_detector", "my_detection"),
        ("DarkRoom", "dark_room", "dark_room_detection"),
        ("HTTPDetector", "http_detector", "http_detection"),
        ("YOLO11Worker", "yolo11_worker", "yolo11_detection"),
        ("Detector", "detector", "detection"),
        ("_Fall", "fall", "fall_detection"),
        ("fall_detector", "fall_detector", "fall_detection"),
    ],
)
def test_name_and_result_type_follow_from_the_class(class_name, name, result_type):
    assert default_names(class_name) == (name, result_type)


def test_only_infer_is_needed():
    least = made()
    assert (least.name, least.result_type) == ("my_detector", "my_detection")
    assert least.load() == Models()
    assert least.describe() == {}
    assert least.tunable is None
    assert least.finish(least.prepare(PICTURE, Attention())) == Inference([])


def test_what_is_given_is_used():
    given = made(name="n", result_type="t", load=lambda self: None, describe=lambda self: {"a": 1})
    assert (given.name, given.result_type, given.load(), given.describe()) == ("n", "t", Models(), {"a": 1})


def test_both_stages_take_the_place_of_infer():
    class Staged:
        def prepare(self, image, attention):
            return image.shape

        def finish(self, prepared):
            return [Detection(0, 0, *prepared[:2], 1.0, "x")]

    staged = Adapter(Staged())
    found = staged.finish(staged.prepare(PICTURE, Attention()))
    assert found == Inference([Detection(0, 0, 24, 32, 1.0, "x", 0)])


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"infer": None}, "MyDetector has no method infer(self, image, attention)"),
        ({"name": ""}, "MyDetector: name '' is no text"),
        ({"name": 5}, "MyDetector: name 5 is no text"),
        ({"result_type": "my detection"}, "result type 'my detection': only a to z"),
        *(
            ({"result_type": kind}, f"result type '{kind}' is the type of another message")
            for kind in RESERVED
        ),
    ],
)
def test_a_detector_that_cannot_be_served_says_why(members, text):
    with pytest.raises(WorkerError) as error:
        made(**members)
    assert text in str(error.value)


def test_load_returns_models_or_nothing():
    with pytest.raises(WorkerError, match=r"load returned dict, expected None or orion_worker\.Models"):
        made(load=lambda self: {"size": "n"}).load()


@pytest.mark.parametrize(
    ("found", "text"), [(None, "NoneType"), ("person", "str"), ([(1, 2, 3, 4)], "a list of tuple")]
)
def test_a_wrong_return_value_is_named_with_the_right_one(found, text):
    wrong = made(infer=lambda self, image, attention: found)
    with pytest.raises(
        TypeError, match=rf"infer returned {text}, expected orion_worker\.Inference or a list"
    ):
        wrong.finish(wrong.prepare(PICTURE, Attention()))


CARELESS = """
import sys
import numpy as np
import orion_worker

class Careless:
    def infer(self, image, attention):
        kind = int(image[0, 0, 0])
        if kind == 1:
            box = [np.float32(1), np.int64(2), np.float64(3), np.uint8(4)]
            data = {"mean": np.float32(0.5), "sum": np.arange(3), "flag": np.bool_(True)}
            return orion_worker.Inference([orion_worker.Detection(*box, np.float32(0.5), "x")], metadata=data)
        if kind == 2:
            return orion_worker.Inference([], metadata={"x": object()})
        if kind == 3:
            return orion_worker.Inference([], metadata={"x": 2 ** 70})
        if kind == 4:
            return [orion_worker.Detection(0, 0, 1, 1, 1, label=7)]
        return []

    def describe(self):
        if len(sys.argv) > 1:
            raise KeyError("colour")
        return {"x": object()}

sys.exit(orion_worker.run(Careless()))
"""


@pytest.fixture
def careless(tmp_path, start):
    path = tmp_path / "careless.py"
    path.write_text(CARELESS)

    def launch(*arguments: str):
        worker = start(program=(sys.executable, path, *arguments))
        worker.ready()
        return worker

    return launch


def picture(value: int) -> np.ndarray:
    return np.full((24, 32, 3), value, np.uint8)


def test_numbers_of_numpy_are_numbers(careless):
    answer = careless().ask(frame_message(picture(1)))
    assert answer["data"]["detections"][0]["bbox"] == {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}
    metadata = answer["data"]["metadata"]
    assert (metadata["mean"], metadata["sum"], metadata["flag"]) == (0.5, [0, 1, 2], True)


@pytest.mark.parametrize(
    ("kind", "text"),
    [(2, "object has no form in a message"), (3, "OverflowError: "), (4, "label 7 is no text")],
)
def test_a_result_that_cannot_be_sent_costs_its_frame_only(careless, kind, text):
    worker = careless()
    answer = worker.ask(frame_message(picture(kind), 5))
    assert (answer["type"], answer["code"], answer["frame_seq"]) == ("error", "inference_failed", 5)
    assert text in answer["message"]
    assert worker.ask(frame_message(picture(0), 6))["frame_seq"] == 6
    assert worker.finish() == 0


@pytest.mark.parametrize(
    ("arguments", "text"), [((), "object has no form in a message"), (("raise",), "KeyError: 'colour'")]
)
def test_a_description_that_fails_costs_its_command_only(careless, arguments, text):
    worker = careless(*arguments)
    answer = worker.ask({"type": "command", "id": "7", "command": "describe"})
    assert (answer["type"], answer["id"], answer["status"]) == ("ack", "7", "error")
    assert text in answer["error"]
    assert worker.ask(frame_message(picture(0), 6))["frame_seq"] == 6
    assert worker.finish() == 0


def test_options_reads_what_the_host_adds_and_ignores_the_rest():
    given = [
        "--mine",
        "7",
        "--confidence",
        "0.25",
        "--labels",
        "cat,dog",
        "--model-dir",
        "/m",
        "file",
        "--help",
    ]
    options = orion_worker.options(given)
    assert (options.confidence, options.labels, str(options.model_dir)) == (0.25, ("cat", "dog"), "/m")
    assert (options.threads, options.model_size) == (0, "n")


def test_a_wrong_option_ends_the_worker_in_one_line(start):
    text = "import orion_worker; orion_worker.options()"
    worker = start("--confidence", "2", program=(sys.executable, "-c", text))
    assert worker.wait() == 2
    assert worker.stderr() == "[ERROR] argument --confidence: 2.0 is not between 0 and 1 (see --help)\n"


class Modest:
    """Content with less."""

    def reduction(self, size, attention):
        return 4 if attention.target_size == 320 else 1

    def prepare(self, image, attention):
        raise AssertionError("prepare_picture takes its place")

    def prepare_picture(self, picture, attention):
        return picture.size, picture.reduction, picture.image.shape

    def finish(self, prepared):
        return Inference([], metadata={"seen": prepared})


def test_a_detector_that_is_content_with_less_gets_jpegs_decoded_smaller():
    asked = {
        "target_size": 320,
        "crop_applied": False,
        "source": "",
        "attention_rois": [],
        "merged_roi": None,
    }
    modest = Adapter(Modest())

    def seen(message):
        task = take_in(Message(msgspec.msgpack.encode(message), False), modest, None)
        assert task.size == (333, 201)
        return modest.finish(task.prepared).metadata["seen"]

    image = np.zeros((201, 333, 3), np.uint8)
    assert seen(jpeg_message(jpeg(image), roi_processing=asked)) == ((333, 201), 4, (51, 84, 3))
    assert seen(jpeg_message(jpeg(image))) == ((333, 201), 1, (201, 333, 3))
    assert seen(frame_message(image, roi_processing=asked)) == ((333, 201), 1, (201, 333, 3))
