//! Where a command's words go: text and tables for people, JSON for programs, colours only on a terminal.

use std::io::{self, ErrorKind, IsTerminal, Write};

use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::{
    failure::{Exit, Failure},
    text,
};

/// The way to the person or program that started the command.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Print JSON only.
    pub json: bool,
    colour: bool,
    tty: bool,
}

/// A colour with a meaning.
#[derive(Debug, Clone, Copy)]
pub enum Ink {
    /// It went well.
    Good,
    /// It did not.
    Bad,
    /// It is on its way.
    Busy,
    /// Less important than the rest.
    Dim,
    /// More important than the rest.
    Strong,
}

impl Terminal {
    /// The process's own output. Colours: never with `--no-color` or `NO_COLOR`, always with `CLICOLOR_FORCE`, else
    /// on a terminal.
    #[must_use]
    pub fn new(json: bool, no_color: bool) -> Self {
        let tty = io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = !no_color && !json && !set("NO_COLOR") && (set("CLICOLOR_FORCE") || (tty && !dumb));
        Self { json, colour, tty }
    }

    /// True when a person watches standard output.
    #[must_use]
    pub fn is_tty(self) -> bool {
        self.tty
    }

    /// One or more lines on standard output. The caller has made them safe (see [`text`]).
    pub fn say(self, line: impl AsRef<str>) {
        write(&mut io::stdout().lock(), line.as_ref());
    }

    /// A part of a line on standard output, made safe by the caller.
    pub fn part(self, text: impl AsRef<str>) {
        end_with_the_pipe(
            write!(io::stdout().lock(), "{}", text.as_ref()).and_then(|()| io::stdout().flush()),
        );
    }

    /// One line on standard error, for what is not the answer.
    pub fn note(self, line: impl AsRef<str>) {
        write(&mut io::stderr().lock(), &self.paint(Ink::Dim, line.as_ref()));
    }

    /// A JSON document on standard output: indented for a person, one line each when `stream`ed.
    pub fn document(self, value: &Value, stream: bool) {
        self.say(text::json(value, !stream));
    }

    /// `text` in a colour, if colours are on.
    #[must_use]
    pub fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Busy => "33",
            Ink::Dim => "2",
            Ink::Strong => "1",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// An execution's status in its colour.
    #[must_use]
    pub fn status(self, status: &str) -> String {
        let ink = match status {
            "COMPLETED" => Ink::Good,
            "FAILED" | "TERMINATED" | "TIMED_OUT" => Ink::Bad,
            _ => Ink::Busy,
        };
        self.paint(ink, &text::line(status, 40))
    }

    /// A table as wide as the terminal, or as wide as it needs when nobody watches.
    pub fn table(self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_header(header.iter().map(|name| Cell::new(self.paint(Ink::Dim, name))));
        let arrangement = if self.tty { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.set_content_arrangement(arrangement);
        for row in rows {
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.say(table.trim_fmt());
    }

    /// Begin a redraw: an empty screen on a terminal, an empty line elsewhere.
    pub fn redraw(self) {
        if self.tty {
            let mut out = io::stdout().lock();
            let _ = out.write_all(b"\x1b[H\x1b[2J");
        } else if !self.json {
            self.say("");
        }
    }

    /// Say on standard error why the command could not do what it was asked.
    pub fn failure(self, failure: &Failure) {
        let mut err = io::stderr().lock();
        if self.json {
            let error = json!({"error": {
                "code": failure.exit.name(), "message": failure.what, "why": failure.why, "next": failure.next,
            }});
            return write(&mut err, &text::json(&error, false));
        }
        let ink = if failure.exit == Exit::Interrupted { Ink::Busy } else { Ink::Bad };
        write(&mut err, &format!("{} {}", self.paint(ink, "error:"), text::lines(&failure.what)));
        if let Some(why) = &failure.why {
            write(&mut err, &format!("  why:  {}", text::lines(why).replace('\n', "\n        ")));
        }
        if let Some(next) = &failure.next {
            write(&mut err, &format!("  next: {}", text::lines(next)));
        }
    }
}

/// A reader that has gone away (`tenure agent list | head -1`) ends the command quietly.
fn write(to: &mut impl Write, line: &str) {
    end_with_the_pipe(writeln!(to, "{line}").and_then(|()| to.flush()));
}

/// Who reads no further has seen enough.
fn end_with_the_pipe(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}
