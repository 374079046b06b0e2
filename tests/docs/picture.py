# SPDX-License-Identifier: MPL-2.0
"""Takes the picture of the live page that the README shows: the drawn room, nobody's real picture."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import cv2
from browser import Browser
from daemon import alone
from running import BUILT, Program

SIDES = (1120, 760)  # px
CARD = "article[data-camera=room-101]"
MOST = 150_000  # bytes


def main(file: Path) -> None:
    """Writes it when somebody is seen in the room."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        camera = Program([str(BUILT / "orion-camera"), "--pattern", "walk"])
        try:
            config = {
                "instance_id": "room-101",
                "room_id": "Room 101",
                "camera": {"rtsp_url": camera.wait_for_line(r"^rtsp://\S+$")[0]},
                "http": {"bind": "127.0.0.1:0"},
                "stream": {"resolution": "480p"},
            }
            with alone({}, folder, config) as daemon:
                address = daemon.program.wait_for_line(r"live page: (http://\S+)")[1]
                browser = Browser(folder)
                try:
                    browser.size(*SIDES)
                    browser.open(address)
                    canvas = f"document.querySelector('{CARD} canvas').dataset"
                    browser.wait_for(f"Number({canvas}.seq) > 60 && Number({canvas}.boxes) > 0", 60)
                    browser.picture(file, whole=False)
                finally:
                    browser.close()
        finally:
            camera.kill()
    # Few colours are enough for a page, and take less room.
    picture = cv2.imread(str(file))
    cv2.imwrite(str(file), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert file.stat().st_size <= MOST, f"{file.stat().st_size} bytes"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
