//! What the time was spent on: turns and steps as rows, every try as a bar. Pure; positions are percentages, so that the
//! drawing is as wide as its column.
//!
//! ```text
//!   queued ░░░  tries ███  backoff ▬▬  a worker was lost ┆      waits over a minute in which nothing ran are folded
//! ```

use jiff::Timestamp;

use super::money::Spent;
use super::shown::{self, Zone};
use crate::store::read::costs::Cost;
use crate::store::read::pages::Step;

/// A wait in which nothing runs is folded when it is longer than this, in seconds.
const FOLD: f64 = 60.0;
/// Width of a folded wait, as a part of the time that is not folded.
const FOLDED: f64 = 0.15;
/// Narrowest bar, in percent.
const NARROWEST: f64 = 0.4;
/// Most bars on the one line of a turn whose steps are not shown.
const MOST: usize = 16;
/// Width of a letter beside a bar, in percent of a usual column.
const LETTER: f64 = 0.8;

/// The drawing.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Oldest first.
    pub turns: Vec<Turn>,
    /// Lines of the grid.
    pub ticks: Vec<Tick>,
    /// Where a worker was found lost, in percent.
    pub losses: Vec<String>,
    /// Whether a wait is folded.
    pub folded: bool,
    /// How long all of it took.
    pub end: String,
}

/// One turn.
#[derive(Debug)]
pub struct Turn {
    /// 1-based.
    pub n: i32,
    /// From its first attempt to its last.
    pub took: String,
    /// What it cost as far as that is known, else the tokens read and written in it; empty for none.
    pub spent: Spent,
    /// Its steps.
    pub lanes: Vec<Lane>,
    /// All of its tries and waits on one line, for when its steps are not shown.
    pub bars: Vec<Bar>,
}

/// One step.
#[derive(Debug)]
pub struct Lane {
    /// Names it in an address: `tool-1-0`.
    pub key: String,
    /// Tool, worker or model.
    pub name: String,
    /// Icon of its kind.
    pub icon: &'static str,
    /// How often it was tried.
    pub tries: usize,
    /// How it stands or ended.
    pub mark: shown::Mark,
    /// Its tries and waits.
    pub bars: Vec<Bar>,
    /// Words beside the bars.
    pub label: Option<Label>,
    /// From being queued to its end.
    pub took: String,
    /// Tokens read and written; empty for none.
    pub tokens: String,
}

/// A stretch of time.
#[derive(Debug)]
pub struct Bar {
    begin: f64,
    length: f64,
    /// Where it begins, in percent.
    pub x: String,
    /// Its width, in percent.
    pub width: String,
    /// `llm`, `tool`, `fail`, `queue`, `retry`.
    pub ink: &'static str,
    /// What it is.
    pub title: String,
}

/// Words beside bars.
#[derive(Debug)]
pub struct Label {
    /// Where, in percent.
    pub x: String,
    /// `after` the bars, `before` them (they end there), `inside` the widest one, or `over` a wait.
    pub place: &'static str,
    /// The words.
    pub text: String,
}

/// A line of the grid.
#[derive(Debug)]
pub struct Tick {
    /// Where, in percent.
    pub x: String,
    /// Words at it; empty for none.
    pub label: String,
    /// Whether a fold begins or ends here.
    pub fold: bool,
}

impl Timeline {
    /// Of `steps` in the order of the run, until `end`. With `fold`, long waits take little room.
    pub fn draw(steps: &[Step], begin: Timestamp, end: Timestamp, fold: bool, zone: &Zone) -> Self {
        if steps.is_empty() {
            return Self::default();
        }
        let scale = Scale::over(steps, begin, end, fold, zone);
        let same_turn = |a: &Step, b: &Step| a.turn == b.turn;
        let turns = steps.chunk_by(same_turn).map(|steps| Turn::draw(steps, &scale)).collect();
        let lost = |s: &&Step| s.status == "lost";
        let losses = steps.iter().filter(lost).filter_map(|s| s.ended_at).map(|t| percent(scale.x(t)));
        Self {
            turns,
            ticks: scale.ticks(),
            losses: losses.collect(),
            folded: scale.pieces.iter().any(|p| p.folded),
            end: shown::duration(scale.length),
        }
    }
}

/// The name of a step in an address.
pub fn key(step: &Step) -> String {
    format!("{}-{}-{}", step.kind, step.turn, step.call)
}

impl Turn {
    fn draw(steps: &[Step], scale: &Scale) -> Self {
        let begin = steps.iter().map(|s| s.created_at).min().unwrap_or(scale.begin);
        let end = steps.iter().map(|s| s.ended_at.unwrap_or(scale.end)).max().unwrap_or(scale.end);
        let same_step = |a: &Step, b: &Step| a.kind == b.kind && a.call == b.call;
        Self {
            n: steps[0].turn,
            took: shown::duration(shown::secs(begin, end)),
            spent: spent_in(steps),
            lanes: steps.chunk_by(same_step).map(|tries| Lane::draw(tries, scale)).collect(),
            bars: one_line(steps, scale).into_iter().rev().take(MOST).rev().collect(),
        }
    }
}

fn tokens(steps: &[Step]) -> String {
    match steps.iter().map(spent).sum::<i64>() {
        0 => String::new(),
        n => shown::count(n),
    }
}

/// Of a turn: the sum of what its calls cost, and how many have no price.
fn spent_in(steps: &[Step]) -> Spent {
    let mut cost = Cost::default();
    for call in steps.iter().filter_map(|s| s.cost.as_ref()) {
        match call {
            Some(money) => {
                cost.priced += 1;
                cost.sums.push(money.clone());
            }
            None => cost.unknown += 1,
        }
    }
    let all = steps.iter().map(spent).sum();
    if all == 0 { Spent::default() } else { Spent::of(&cost, all) }
}

fn spent(step: &Step) -> i64 {
    step.prompt_tokens.unwrap_or(0) + step.completion_tokens.unwrap_or(0)
}

impl Lane {
    fn draw(tries: &[Step], scale: &Scale) -> Self {
        let (first, last) = (&tries[0], &tries[tries.len() - 1]);
        let bars: Vec<Bar> = tries.iter().flat_map(|s| bars(s, scale)).collect();
        Self {
            label: label(tries, &bars, scale),
            bars,
            key: key(first),
            name: shown::excerpt(&first.name, 80),
            icon: shown::kind_icon(&first.kind),
            tries: tries.len(),
            mark: shown::outcome(last),
            took: shown::duration(shown::secs(first.created_at, last.ended_at.unwrap_or(scale.end))),
            tokens: tokens(tries),
        }
    }
}

/// A try's wait and its work.
fn bars(step: &Step, scale: &Scale) -> Vec<Bar> {
    let until = step.started_at.or(step.ended_at).unwrap_or(scale.end);
    let (ink, wait) =
        if step.number > 1 { ("retry", "waited to be tried again") } else { ("queue", "queued") };
    let mut bars = vec![];
    if scale.x(until) - scale.x(step.created_at) >= NARROWEST || step.started_at.is_none() {
        let ink = if step.started_at.is_none() && step.run_at.is_none_or(|t| t < scale.end) {
            "queue"
        } else {
            ink
        };
        bars.push(scale.bar(step.created_at, until, ink, wait));
    }
    if let Some(started) = step.started_at {
        let ink = match (step.status.as_str(), step.kind.as_str()) {
            ("failed" | "gave_up" | "lost", _) => "fail",
            ("withdrawn", _) => "queue",
            (_, "model") => "llm",
            _ => "tool",
        };
        let who =
            step.worker.as_deref().map_or_else(String::new, |w| format!(" by {}", shown::excerpt(w, 60)));
        let word = shown::outcome(step).word.to_lowercase();
        let what = format!("try {}{who}: {word}", step.number);
        bars.push(scale.bar(started, step.ended_at.unwrap_or(scale.end), ink, &what));
    }
    bars
}

/// Words go where there is room: after the bars, before them, or into the widest one.
fn label(tries: &[Step], bars: &[Bar], scale: &Scale) -> Option<Label> {
    let text = words(tries, &scale.zone)?;
    let (first, last) = (&tries[0], &tries[tries.len() - 1]);
    let begin = scale.x(first.created_at);
    let end = scale.x(last.ended_at.unwrap_or(scale.end)).max(begin + NARROWEST);
    let needed = text.chars().fold(1.4, |sum, _| sum + LETTER);
    let widest = bars.iter().filter(|b| b.ink != "retry").max_by(|a, b| a.length.total_cmp(&b.length));
    let (place, x) = match widest {
        _ if 100.0 - end >= needed => ("after", end + 0.7),
        _ if begin >= needed => ("before", begin - 0.7),
        Some(bar) if bar.length >= needed.min(30.0) => {
            (if bar.ink == "queue" { "over" } else { "inside" }, bar.begin + 0.7)
        }
        _ if begin > 100.0 - end => ("before", begin - 0.7),
        _ => ("after", end + 0.7),
    };
    Some(Label { x: percent(x), place, text })
}

/// What is worth saying beside a step's bars.
fn words(tries: &[Step], zone: &Zone) -> Option<String> {
    let last = &tries[tries.len() - 1];
    let failed = tries.iter().filter(|s| s.status == "failed").count();
    if let Some(pair) = tries.windows(2).rev().find(|pair| pair[0].status == "lost") {
        let gone = format!("{} was lost", who(&pair[0]));
        return Some(match (pair[0].ended_at, pair[1].started_at) {
            (Some(lost_at), Some(again)) => {
                format!(
                    "{gone}, {} took over in {}",
                    who(&pair[1]),
                    shown::duration(shown::secs(lost_at, again))
                )
            }
            _ => format!("{gone}, waits to be tried again"),
        });
    }
    match last.status.as_str() {
        "gave_up" => {
            Some(format!("failed for good: {}", shown::excerpt(last.error.as_deref().unwrap_or("?"), 60)))
        }
        "completed" if failed == 1 => Some("1 try failed first".to_owned()),
        "completed" if failed > 1 => Some(format!("{failed} tries failed first")),
        "completed" if spent(last) > 0 => Some(format!("{} tokens", shown::count(spent(last)))),
        "deferred" => last.run_at.map(|at| format!("again at {}", zone.clock(at))),
        "ready" => Some(format!("queued in {}", shown::excerpt(&last.queue, 40))),
        "held" => Some("held while the run is paused".to_owned()),
        _ => None,
    }
}

/// A worker's name without the mark of its session, which says nothing to people.
fn who(step: &Step) -> String {
    let Some(worker) = &step.worker else { return "its worker".to_owned() };
    let is_mark = |mark: &str| mark.len() == 8 && mark.bytes().all(|b| b.is_ascii_hexdigit());
    let name =
        worker.rsplit_once(':').filter(|(_, mark)| is_mark(mark)).map_or(worker.as_str(), |(name, _)| name);
    shown::excerpt(name, 28)
}

/// Where a time is, in percent.
struct Scale {
    begin: Timestamp,
    end: Timestamp,
    /// Of all of it, in seconds.
    length: f64,
    pieces: Vec<Piece>,
    zone: Zone,
}

/// A part of the time with one scale: seconds from `from` to `to`, percent from `x` over `width`.
struct Piece {
    from: f64,
    to: f64,
    x: f64,
    width: f64,
    folded: bool,
}

impl Scale {
    fn over(steps: &[Step], begin: Timestamp, end: Timestamp, fold: bool, zone: &Zone) -> Self {
        let begin = steps.iter().map(|s| s.created_at).min().map_or(begin, |t| t.max(begin));
        let length = shown::secs(begin, end).max(0.001);
        let mut pieces = cut(steps, begin, end, length, fold);
        let whole: f64 = pieces.iter().filter(|p| !p.folded).map(|p| p.to - p.from).sum();
        let weight = |p: &Piece| if p.folded { (whole * FOLDED).max(0.001) } else { p.to - p.from };
        let sum: f64 = pieces.iter().map(weight).sum();
        let mut x = 0.0;
        for piece in &mut pieces {
            (piece.x, piece.width) = (x, weight(piece) / sum * 100.0);
            x += piece.width;
        }
        Self { begin, end, length, pieces, zone: zone.clone() }
    }

    fn x(&self, at: Timestamp) -> f64 {
        let at = shown::secs(self.begin, at);
        let piece = self.pieces.iter().find(|p| at <= p.to).or(self.pieces.last());
        piece.map_or(0.0, |p| {
            let part = ((at - p.from) / (p.to - p.from)).clamp(0.0, 1.0);
            p.x + part * p.width
        })
    }

    fn bar(&self, from: Timestamp, to: Timestamp, ink: &'static str, what: &str) -> Bar {
        let (x, end) = (self.x(from), self.x(to));
        let width = (end - x).max(NARROWEST);
        let took = shown::duration(shown::secs(from, to));
        let begin = x.min(100.0 - width);
        Bar {
            begin,
            length: width,
            x: percent(begin),
            width: percent(width),
            ink,
            title: format!("{what}, {took}"),
        }
    }

    /// At most seven lines at round times, and two at each fold.
    fn ticks(&self) -> Vec<Tick> {
        let whole: f64 = self.pieces.iter().filter(|p| !p.folded).map(|p| p.to - p.from).sum();
        let step = STEPS.into_iter().find(|s| whole / s <= 6.0).unwrap_or(whole);
        let mut ticks = vec![];
        let mut free = 0.0;
        for piece in &self.pieces {
            if piece.folded {
                ticks.push(Tick { x: percent(piece.x), label: String::new(), fold: true });
                ticks.push(Tick { x: percent(piece.x + piece.width), label: String::new(), fold: true });
                continue;
            }
            let mut at = (piece.from / step).ceil() * step;
            while at <= piece.to {
                let x = piece.x + (at - piece.from) / (piece.to - piece.from) * piece.width;
                let has_room = x >= free && x < 76.0;
                let label = match () {
                    () if !has_room => String::new(),
                    () if at < step / 2.0 => self.zone.clock(self.begin),
                    () => format!("+{}", shown::duration(at).replace(".0 s", " s")),
                };
                if has_room {
                    free = x + 14.0;
                }
                ticks.push(Tick { x: percent(x), label, fold: false });
                at += step;
            }
        }
        ticks
    }
}

const STEPS: [f64; 24] = [
    0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
    600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0, 604_800.0,
];

/// The time in pieces: with `fold`, waits in which nothing runs are pieces of their own.
fn cut(steps: &[Step], begin: Timestamp, end: Timestamp, length: f64, fold: bool) -> Vec<Piece> {
    let piece = |from, to, folded| Piece { from, to, x: 0.0, width: 0.0, folded };
    let mut work: Vec<(f64, f64)> = steps
        .iter()
        .filter_map(|s| {
            Some((shown::secs(begin, s.started_at?), shown::secs(begin, s.ended_at.unwrap_or(end))))
        })
        .collect();
    work.push((length, length));
    work.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut pieces, mut open, mut done) = (vec![], 0.0, 0.0_f64);
    for (from, to) in work {
        if fold && from - done > FOLD {
            if done > open {
                pieces.push(piece(open, done, false));
            }
            pieces.push(piece(done, from, true));
            open = from;
        }
        done = done.max(to);
    }
    if length > open || pieces.is_empty() {
        pieces.push(piece(open, length.max(open + 0.001), false));
    }
    pieces
}

fn percent(x: f64) -> String {
    format!("{x:.2}%")
}

/// A small picture of what a run's time was spent on.
pub fn shape(steps: &[Step], begin: Timestamp, end: Timestamp) -> Vec<Bar> {
    one_line(steps, &Scale::over(steps, begin, end, true, &Zone::default()))
}

/// All bars of these tries on one line: work is drawn over waits.
fn one_line(steps: &[Step], scale: &Scale) -> Vec<Bar> {
    let mut bars: Vec<Bar> = steps.iter().flat_map(|s| bars(s, scale)).collect();
    bars.sort_by_key(|bar| !matches!(bar.ink, "queue" | "retry"));
    bars
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use uuid::Uuid;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        "2026-11-21T07:00:00Z".parse::<Timestamp>().unwrap() + millis.milliseconds()
    }

    /// A try that waits from `times.0` and runs from `times.1` to `times.2`, in milliseconds.
    fn step(kind: &str, turn: i32, number: i32, status: &str, times: (i64, i64, i64)) -> Step {
        Step {
            execution: Uuid::nil().to_string().parse().unwrap(),
            id: Uuid::nil().to_string().parse().unwrap(),
            kind: kind.into(),
            turn,
            call: 0,
            number,
            name: "name".into(),
            status: status.into(),
            worker: Some(format!("w-{number}")),
            queue: "name".into(),
            domain: String::new(),
            created_at: at(times.0),
            started_at: Some(at(times.1)),
            ended_at: Some(at(times.2)),
            run_at: None,
            error: None,
            prompt_tokens: None,
            completion_tokens: None,
            cost: None,
        }
    }

    #[test]
    fn a_lost_try_is_seen_with_who_took_over() {
        let steps = [
            step("model", 1, 1, "completed", (0, 0, 1000)),
            step("tool", 1, 1, "lost", (1000, 1000, 4000)),
            step("tool", 1, 2, "completed", (4000, 4500, 10_000)),
        ];
        let timeline = Timeline::draw(&steps, at(0), at(10_000), true, &Zone::default());
        assert_eq!(timeline.losses, ["40.00%"]);
        let tool = &timeline.turns[0].lanes[1];
        assert_eq!((tool.tries, tool.took.as_str()), (2, "9.0 s"));
        assert_eq!(tool.label.as_ref().unwrap().text, "w-1 was lost, w-2 took over in 500 ms");
        let inks: Vec<_> = tool.bars.iter().map(|b| (b.ink, b.x.as_str(), b.width.as_str())).collect();
        let expected =
            [("fail", "10.00%", "30.00%"), ("retry", "40.00%", "5.00%"), ("tool", "45.00%", "55.00%")];
        assert_eq!(inks, expected);
    }

    #[test]
    fn a_long_wait_takes_little_room_unless_it_is_shown_to_scale() {
        let day = 86_400_000;
        let steps = [
            step("model", 1, 1, "completed", (0, 0, 5000)),
            step("tool", 1, 1, "completed", (5000, day, day + 5000)),
        ];
        let width = |fold| {
            let timeline = Timeline::draw(&steps, at(0), at(day + 5000), fold, &Zone::default());
            assert_eq!(timeline.folded, fold);
            timeline.turns[0].lanes[0].bars[0].width.trim_end_matches('%').parse::<f64>().unwrap()
        };
        assert!(width(true) > 40.0 && width(false) < 1.0);
    }

    #[test]
    fn every_bar_stays_inside() {
        let steps = [
            step("model", 1, 1, "completed", (0, 0, 0)),
            step("model", 2, 1, "leased", (0, 90_000, 90_000)),
            step("tool", 2, 1, "withdrawn", (90_000, 90_000, 90_000)),
        ];
        for end in [at(0), at(90_000), at(9_000_000)] {
            let timeline = Timeline::draw(&steps, at(0), end, true, &Zone::default());
            assert!(timeline.ticks.len() < 20);
            let number = |text: &str| text.trim_end_matches('%').parse::<f64>().unwrap();
            for bar in timeline.turns.iter().flat_map(|t| &t.lanes).flat_map(|l| &l.bars) {
                assert!(number(&bar.x) >= 0.0 && number(&bar.x) + number(&bar.width) <= 100.02, "{bar:?}");
            }
        }
    }
}
