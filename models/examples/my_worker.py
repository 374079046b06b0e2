# SPDX-License-Identifier: MPL-2.0
"""A worker of one's own: says where in the picture light is. Any Python with orion_worker runs it."""

import sys

import orion_worker


class MyDetector:
    def load(self):
        self.threshold = 220  # grey level, 0..255

    def infer(self, image, attention):
        bright = image[:, :, 1] > self.threshold  # green is nearest to what the eye calls brightness
        if not bright.any():
            return []
        columns, rows = bright.any(axis=0).nonzero()[0], bright.any(axis=1).nonzero()[0]
        left, top = columns[0], rows[0]
        width, height = columns[-1] + 1 - left, rows[-1] + 1 - top
        return [orion_worker.Detection(left, top, width, height, confidence=bright.mean(), label="light")]

    def describe(self):
        return {"threshold": self.threshold}


if __name__ == "__main__":
    sys.exit(orion_worker.run(MyDetector()))
