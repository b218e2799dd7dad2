//! Text in columns and colours.

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Good,
    Poor,
    Bad,
    Faint,
    Bold,
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    pub(super) fn text(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Good => "32",
            Colour::Poor => "33",
            Colour::Bad => "31",
            Colour::Faint => "2",
            Colour::Bold => "1",
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A cell of a table.
pub(super) type Cell = (Option<Colour>, String);

/// Rows under a head, in columns as wide as they must be.
pub(super) fn columns<const N: usize>(paint: Paint, head: [&str; N], rows: &[[Cell; N]]) -> String {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, (_, cell)) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let mut line = |cells: &[Cell; N]| {
        for (i, (colour, cell)) in cells.iter().enumerate() {
            out.push_str(&colour.map_or_else(|| cell.clone(), |c| paint.text(c, cell)));
            if i + 1 < N {
                out.push_str(&" ".repeat(widths[i] + 2 - cell.chars().count()));
            }
        }
        out.push('\n');
    };
    line(&head.map(|h| (Some(Colour::Faint), h.to_owned())));
    rows.iter().for_each(line);
    out
}

/// Text as it is; what is no text, and what could steer a terminal, is escaped.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let shown = printable("müde\x1b[31m\n\\".as_bytes());
        assert_eq!(shown, r"müde\u{1b}[31m\n\\");
        assert_eq!(printable(&[b'a', 0xff, 0xc3]), r"a\xff\xc3");
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let row = |a: &str, b: &str| [(None, a.to_owned()), (Some(Colour::Good), b.to_owned())];
        let text = columns(Paint(false), ["A", "B"], &[row("ä", "x"), row("long", "y")]);
        assert_eq!(text, "A     B\nä     x\nlong  y\n");
        assert!(columns(Paint(true), ["A", "B"], &[row("a", "x")]).contains("\x1b[32mx\x1b[0m"));
    }
}
