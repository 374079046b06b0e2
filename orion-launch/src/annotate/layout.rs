// SPDX-License-Identifier: MPL-2.0
//! Where boxes and their labels go.

use super::{canvas::Rect, letters::Size};

/// The longest label that is drawn, characters; of a longer one, its beginning.
const MAX_CHARACTERS: usize = 40;

/// Measures of what is drawn on a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    width: i32,
    height: i32,
    pub(super) size: Size,
    /// Of a box's edge, pixels.
    pub(super) thick: i32,
    /// Of the dark line around it, pixels.
    pub(super) outline: i32,
    /// Left and right of a label's letters, pixels.
    pub(super) margin: i32,
}

impl Style {
    /// For a picture of so many pixels.
    pub(super) fn new(width: i32, height: i32) -> Self {
        let size = Size::for_picture(width, height);
        let thick = (width.min(height) / 270).clamp(2, 12);
        Self { width, height, size, thick, outline: (thick / 3).max(1), margin: size.width() / 2 }
    }

    /// The area of a label of that text.
    fn label(self, text: &str) -> Rect {
        let letters = text.chars().count() as i32;
        Rect { x: 0, y: 0, width: letters * self.size.width() + 2 * self.margin, height: self.size.height() }
    }

    /// The area at that corner, moved into the picture as far as it fits there.
    fn inside(self, area: Rect, x: i32, y: i32) -> Rect {
        let x = x.min(self.width - area.width).max(0);
        let y = y.min(self.height - area.height).max(0);
        Rect { x, y, ..area }
    }

    /// Where the labels of these boxes go: above the box; if there is no room or another label is there, inside its upper
    /// edge, below it, or inside its lower edge. A place that is free goes before one that is not.
    pub(super) fn labels(self, boxes: &[(Rect, String)]) -> Vec<Rect> {
        let mut taken: Vec<Rect> = Vec::with_capacity(boxes.len());
        for (area, text) in boxes {
            let label = self.label(text);
            let (top, bottom) = (area.y - self.outline, area.y + area.height + self.outline);
            let inner = [area.y + self.thick, area.y + area.height - self.thick - label.height];
            let heights = [top - label.height, inner[0], bottom, inner[1]];
            let fits = |y: &i32| *y >= 0 && *y + label.height <= self.height;
            let left = area.x - self.outline;
            let places: Vec<_> = heights.iter().filter(|y| fits(y)).map(|y| self.inside(label, left, *y)).collect();
            let free = places.iter().find(|place| !taken.iter().any(|other| place.meets(*other)));
            let place = free.or(places.first()).copied();
            taken.push(place.unwrap_or_else(|| self.inside(label, left, inner[0])));
        }
        taken
    }

    /// A caption at the picture's lower left corner.
    pub(super) fn caption(self, text: &str) -> Rect {
        self.inside(self.label(text), self.margin, self.height - self.size.height() - self.margin)
    }
}

/// What stands on a box.
pub(super) fn label(name: &str, confidence: Option<f64>) -> String {
    let mut text: String = name.chars().take(MAX_CHARACTERS).collect();
    if let Some(confidence) = confidence {
        text.push_str(&format!(" {:.0} %", confidence * 100.0));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(boxes: &[(i32, i32, i32, i32)]) -> Vec<(i32, i32)> {
        let style = Style::new(640, 360);
        let boxes: Vec<_> = boxes
            .iter()
            .map(|(x, y, width, height)| {
                (Rect { x: *x, y: *y, width: *width, height: *height }, "person 87 %".to_owned())
            })
            .collect();
        style.labels(&boxes).iter().map(|label| (label.x, label.y)).collect()
    }

    #[test]
    fn a_label_stands_above_its_box_and_inside_the_picture() {
        assert_eq!(placed(&[(100, 100, 80, 200)]), [(99, 83)]);
        assert_eq!(placed(&[(100, 5, 80, 200)]), [(99, 7)], "no room above: inside");
        let style = Style::new(640, 360);
        let width = style.label("person 87 %").width;
        assert_eq!(placed(&[(630, 100, 10, 50)]), [(640 - width, 83)], "moved to the left");
        assert_eq!(placed(&[(0, 0, 640, 360)]), [(0, 2)]);
        assert_eq!(placed(&[(0, 0, 10, 3)]), [(0, 2)], "over a box that is lower than its label");
    }

    #[test]
    fn labels_make_room_for_each_other() {
        let same = placed(&[(100, 100, 80, 200); 5]);
        assert_eq!(same[..4], [(99, 83), (99, 102), (99, 301), (99, 282)]);
        assert_eq!(same[4], same[0], "all are taken");
    }

    #[test]
    fn a_label_says_name_and_confidence_shortly() {
        assert_eq!(label("person", Some(0.874)), "person 87 %");
        assert_eq!(label("car", None), "car");
        assert_eq!(label(&"x".repeat(300), Some(1.0)).chars().count(), MAX_CHARACTERS + 6);
    }

    #[test]
    fn lines_can_be_seen_at_any_size() {
        let thick = |w, h| Style::new(w, h).thick;
        assert_eq!((thick(320, 240), thick(1280, 720), thick(1920, 1080), thick(3840, 2160)), (2, 2, 4, 8));
    }
}
