//! Two kinds of pictures, written by hand: groups of bars and lines, on a logarithmic or a linear scale. They follow the
//! reader's dark or light surroundings.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 48.0;
/// Told apart also by those who see no red or no green (Okabe and Ito, 2008).
const COLOURS: [&str; 8] =
    ["#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#999999", "#f0e442"];

/// A value with its least and greatest.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The median.
    pub middle: f64,
    /// The least of all rounds.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

/// A row of values of the same thing.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// One for each case; `None`: not measured.
    pub points: Vec<Option<Point>>,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What it shows, with the unit.
    pub title: String,
    /// The cases, from left to right.
    pub cases: Vec<String>,
    /// What is compared.
    pub lines: Vec<Line>,
    /// On a logarithmic scale.
    pub logarithmic: bool,
}

/// From values to heights.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(picture: &Picture) -> Self {
        let points = picture.lines.iter().flat_map(|line| line.points.iter().flatten());
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for point in points {
            low = low.min(point.least);
            high = high.max(point.greatest);
        }
        if picture.logarithmic && low > 0.0 && low.is_finite() {
            Self {
                low: 10_f64.powf(low.log10().floor()),
                high: 10_f64.powf(high.log10().ceil()),
                logarithmic: true,
            }
        } else {
            Self { low: 0.0, high: if high > 0.0 { high * 1.1 } else { 1.0 }, logarithmic: false }
        }
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10().max(1e-9)
        } else {
            value / self.high
        };
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn marks(&self) -> Vec<f64> {
        if self.logarithmic {
            std::iter::successors(Some(self.low), |mark| Some(mark * 10.0))
                .take_while(|mark| *mark <= self.high * 1.001)
                .collect()
        } else {
            let raw = self.high / 5.0;
            let unit = 10_f64.powf(raw.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * unit).into_iter().find(|s| *s >= raw).unwrap_or(raw);
            std::iter::successors(Some(0.0), |mark| Some(mark + step))
                .take_while(|mark| *mark <= self.high)
                .collect()
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn frame(picture: &Picture, scale: &Scale) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<style>text {{ fill: #222 }} .grid {{ stroke: #ccc }} @media (prefers-color-scheme: dark) \
         {{ text {{ fill: #ddd }} .grid {{ stroke: #555 }} }}</style>\n"
    );
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"20\" font-size=\"15\" font-weight=\"bold\">{}</text>",
        escaped(&picture.title)
    );
    let mut x = LEFT;
    for (line, colour) in picture.lines.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"32\" width=\"11\" height=\"11\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"42\">{}</text>",
            x + 15.0,
            escaped(&line.name)
        );
        x += 38.0 + 7.0 * line.name.chars().count() as f64;
    }
    for mark in scale.marks() {
        let y = scale.y(mark);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            super::tables::number(mark).replace(".00", "").replace(".0", "")
        );
    }
    let width = (WIDTH - LEFT - RIGHT) / picture.cases.len().max(1) as f64;
    for (number, case) in picture.cases.iter().enumerate() {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            LEFT + width * (number as f64 + 0.5),
            HEIGHT - BOTTOM + 20.0,
            escaped(case)
        );
    }
    out
}

/// Groups of bars, a group for each case; a thin line shows least and greatest.
#[must_use]
pub fn bars(picture: &Picture) -> String {
    let scale = Scale::of(picture);
    let mut out = frame(picture, &scale);
    let group = (WIDTH - LEFT - RIGHT) / picture.cases.len().max(1) as f64;
    let width = group * 0.86 / picture.lines.len().max(1) as f64;
    for (number, (line, colour)) in picture.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        for (case, point) in line.points.iter().enumerate() {
            let Some(point) = point else { continue };
            let x = LEFT + group * (case as f64 + 0.07) + width * number as f64;
            let (y, middle) = (scale.y(point.middle), x + width / 2.0);
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"><title>{}: {}</title>\
                 </rect><line x1=\"{middle:.1}\" x2=\"{middle:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"#000\" \
                 stroke-opacity=\"0.6\"/>",
                width - 1.0,
                HEIGHT - BOTTOM - y,
                escaped(&line.name),
                super::tables::number(point.middle),
                scale.y(point.least),
                scale.y(point.greatest),
            );
        }
    }
    out + "</svg>\n"
}

/// Lines from case to case.
#[must_use]
pub fn lines(picture: &Picture) -> String {
    let scale = Scale::of(picture);
    let mut out = frame(picture, &scale);
    let group = (WIDTH - LEFT - RIGHT) / picture.cases.len().max(1) as f64;
    for (line, colour) in picture.lines.iter().zip(COLOURS.iter().cycle()) {
        let at = |(case, point): (usize, &Option<Point>)| {
            point.map(|point| (LEFT + group * (case as f64 + 0.5), scale.y(point.middle), point))
        };
        let points: Vec<_> = line.points.iter().enumerate().filter_map(at).collect();
        let path: Vec<_> = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y, point) in points {
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"><title>{}: {}</title></circle>",
                escaped(&line.name),
                super::tables::number(point.middle)
            );
        }
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(logarithmic: bool, values: &[f64]) -> Picture {
        let point = |value: &f64| Some(Point { middle: *value, least: *value, greatest: *value });
        let line = Line { name: "a < b".into(), points: values.iter().map(point).chain([None]).collect() };
        let cases = (0..=values.len()).map(|n| n.to_string()).collect();
        Picture { title: "t".into(), cases, lines: vec![line], logarithmic }
    }

    #[test]
    fn higher_values_stand_higher() {
        for logarithmic in [false, true] {
            let scale = Scale::of(&picture(logarithmic, &[3.0, 4000.0]));
            assert!(scale.y(4000.0) < scale.y(300.0) && scale.y(300.0) < scale.y(3.0));
            assert!(scale.y(4000.0) >= TOP && scale.y(3.0) <= HEIGHT - BOTTOM);
        }
    }

    #[test]
    fn nothing_measured_is_an_empty_picture() {
        for draw in [bars, lines] {
            for empty in [picture(true, &[]), picture(false, &[0.0])] {
                let svg = draw(&empty);
                assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
            assert!(draw(&picture(true, &[1.0])).contains("a &lt; b"));
        }
    }
}
