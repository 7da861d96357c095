//! What stands above every view of a run: title, status, actions, facts, what it waits for, the views.

use super::address::{Tab, Wanted};
use super::{Part, Run, Statement};
use crate::engine::Status;
use crate::id::ExecutionId;
use crate::store::forks::Fork;
use crate::store::read::approvals::Approval;
use crate::store::read::executions::Reason;
use crate::store::read::run::Value;
use crate::web::ui::kit::{Base, Cell, Copies};
use crate::web::ui::{money, shown};

/// Arguments of a question that its card shows.
const ARGUMENTS: usize = 6;

/// For `templates/execution.html`.
pub struct Frame {
    pub id: String,
    pub title: String,
    pub agent: String,
    pub version: i32,
    pub mark: shown::Mark,
    pub is_live: bool,
    pub is_paused: bool,
    pub facts: Vec<Fact>,
    pub ended: Option<String>,
    pub reasons: Vec<Why>,
    pub asked: Vec<Asked>,
    pub name: String,
    /// The run that it goes on from, and how.
    pub origin: Option<Link>,
    /// Runs that go on from it.
    pub forks: Vec<Link>,
    /// What it may be begun again with.
    pub again: Again,
    pub then: Option<Then>,
    pub tabs: Vec<View>,
    pub link: String,
    pub copies: Copies,
    pub statements: Vec<Statement>,
}

/// Another run.
pub struct Link {
    pub words: String,
    pub id: String,
    pub address: String,
    /// The page that compares the two.
    pub compared: String,
    pub mark: Option<shown::Mark>,
}

/// The forms that begin new runs from this one.
pub struct Again {
    /// Made once per page, so that a second click makes no second run.
    pub key: String,
    pub can_retry: bool,
    /// Whether the conversation can go on in another run.
    pub can_continue: bool,
    /// As a person may edit it; empty when it is too long for a form.
    pub prompt: String,
    /// After which event a fork goes on.
    pub at: i32,
    pub can_fork: bool,
}

pub struct Fact {
    pub name: &'static str,
    pub value: String,
    /// Of that, spent working; empty for what is no time.
    pub more: String,
    /// What it is exactly.
    pub title: String,
    pub is_code: bool,
    /// Where more of it is; empty for nowhere.
    pub address: String,
}

/// A question to people that the run waits for.
pub struct Asked {
    pub id: String,
    pub tool: String,
    pub is_question: bool,
    pub arguments: Vec<(String, String)>,
    pub more: usize,
    pub hash: String,
    pub when: String,
}

pub struct Why {
    pub mark: &'static str,
    pub icon: &'static str,
    pub text: String,
    pub hint: String,
    pub since: String,
    /// Where to do something about it.
    pub queue: Option<String>,
    pub can_resume: bool,
}

/// That the run is shown as it was.
pub struct Then {
    pub event: i32,
    pub events: i32,
    pub at: String,
    pub now: String,
}

pub struct View {
    pub word: String,
    pub address: String,
    pub is_current: bool,
    pub count: String,
    pub is_bad: bool,
}

impl Run<'_> {
    /// The frame of the site; it follows the run while that goes on and is not looked back at.
    pub fn base(&self) -> Base {
        if self.is_live() {
            Base::live(self.viewer, "executions", self.viewer.here.clone())
        } else {
            Base::of(self.viewer, "executions")
        }
    }

    /// The frame of a view, which prints `statements` and can be copied as a list or as a document.
    pub fn frame(&self, statements: Vec<Statement>, is_list: bool) -> Frame {
        let head = &self.head;
        let status = self.then.as_ref().map_or(head.status, |then| then.status);
        let reason = self.then.as_ref().map_or(&head.reason, |then| &then.reason);
        let title = shown::excerpt(head.prompt.as_deref().unwrap_or("(a very large input)"), 120);
        Frame {
            id: self.id.to_string(),
            title: if title.is_empty() { "(no prompt)".to_owned() } else { title },
            agent: shown::excerpt(&head.agent, 80),
            version: head.version,
            mark: shown::status(status, worst(&self.reasons)),
            is_live: self.is_live(),
            is_paused: head.status == Status::Paused,
            facts: self.facts(),
            ended: reason.as_deref().map(|r| shown::sentence(&shown::text(r))),
            reasons: self.reasons.iter().map(|r| self.why(r)).collect(),
            asked: self.asked.iter().map(|a| self.asked(a)).collect(),
            name: self.viewer.name.clone(),
            origin: self.origin(),
            forks: self.forks.iter().map(|one| fork(self.id, one)).collect(),
            again: self.again(),
            then: self.then.as_ref().map(|then| Then {
                event: then.event,
                events: head.events,
                at: self.viewer.zone.stamp(then.at),
                now: self.link(&self.wanted.at(0)),
            }),
            tabs: self.tabs(),
            link: format!("{}{}", self.viewer.origin, self.viewer.here),
            copies: self.copies(&statements, is_list),
            statements: self.statements(statements),
        }
    }

    fn origin(&self) -> Option<Link> {
        let origin = self.head.origin.as_ref()?;
        let how = match origin.way.as_str() {
            "retry" => format!("Retries, after event {}, ", origin.at),
            "restart" => "Restarts ".to_owned(),
            "replay" => "Replays, without calling tools, ".to_owned(),
            "rerun" => format!("Reruns, after event {}, ", origin.at),
            _ => format!("Goes on after event {} of ", origin.at),
        };
        let at = if origin.at > 0 { format!("?at={}", origin.at) } else { String::new() };
        let (id, address) = (origin.id.to_string(), format!("/execution/{}{at}", origin.id));
        let compared = format!("/diff?a={id}&b={}", self.id);
        Some(Link { words: how, id, address, compared, mark: None })
    }

    fn again(&self) -> Again {
        let head = &self.head;
        let can_retry = matches!(head.status, Status::Failed | Status::Terminated | Status::TimedOut);
        let prompt = head.prompt.as_deref().filter(|p| p.chars().count() < 1000).unwrap_or_default();
        let is_end = self.then.as_ref().map_or(head.status, |then| then.status).is_terminal();
        Again {
            key: super::again::key(self),
            can_retry,
            can_continue: head.status == Status::Completed,
            prompt: shown::text(prompt),
            at: self.newest(),
            can_fork: !is_end,
        }
    }

    fn copies(&self, statements: &[Statement], is_list: bool) -> Copies {
        let flag = self.viewer.server_flag();
        let copies = Copies::curl(self.viewer, is_list)
            .and("CLI", format!("tenure agent status {}{flag}", self.id))
            .and("CLI, live", format!("tenure agent stream {}{flag}", self.id));
        match statements.first() {
            Some(statement) => copies.and("SQL", statement.sql.clone()),
            None => copies,
        }
    }

    /// The view's own statements, then those of the frame.
    fn statements(&self, mut statements: Vec<Statement>) -> Vec<Statement> {
        match self.at() {
            None => statements.push(self.statement("The run", Part::Head, &[])),
            Some(n) => {
                statements.push(self.statement("The run as it was then", Part::AsOf, &[Value::from(n)]));
            }
        }
        if self.is_live() {
            statements.push(self.statement("Why it is not moving", Part::Why, &[]));
        }
        statements
    }

    fn tabs(&self) -> Vec<View> {
        let kept = self.wanted.kept();
        let view = |tab: Tab| {
            let (word, count, is_bad) = self.tab_words(tab);
            let own = if tab == Tab::Timeline {
                kept.clone()
            } else {
                Wanted { show: String::new(), ..kept.clone() }
            };
            View { word, address: own.address(self.id, tab), is_current: tab == self.tab, count, is_bad }
        };
        Tab::ALL.into_iter().map(view).collect()
    }

    fn tab_words(&self, tab: Tab) -> (String, String, bool) {
        let plain = |word: &str, n: i64| {
            (word.to_owned(), if n == 0 { String::new() } else { shown::count(n) }, false)
        };
        match tab {
            Tab::Timeline => plain("Timeline", 0),
            Tab::Conversation => plain("Conversation", self.messages().into()),
            Tab::Events => plain("Events", self.newest().into()),
            Tab::Attempts if self.work.failed > 0 => {
                ("Attempts".to_owned(), format!("{} failed", shown::count(self.work.failed)), true)
            }
            Tab::Attempts => plain("Attempts", self.work.attempts),
            Tab::State => plain("State", 0),
            Tab::Payloads => plain("Input and output", 0),
            Tab::Agent => plain(&format!("Agent v{}", self.head.version), 0),
            Tab::Logs if self.work.lines > 10_000 => ("Logs".to_owned(), "10k+".to_owned(), false),
            Tab::Logs => plain("Logs", self.work.lines),
        }
    }

    fn facts(&self) -> Vec<Fact> {
        let (head, zone) = (&self.head, &self.viewer.zone);
        let fact = |name, value: String| Fact {
            name,
            title: value.clone(),
            value,
            more: String::new(),
            is_code: false,
            address: String::new(),
        };
        let work = &self.work;
        let tokens = work.prompt_tokens + work.completion_tokens;
        let mut facts = vec![
            Fact {
                title: zone.stamp(head.created_at),
                ..fact("Started", zone.at(head.created_at, self.viewer.now))
            },
            Fact {
                more: shown::duration(work.working),
                ..fact("Took", shown::duration(shown::secs(head.created_at, self.until())))
            },
            fact("Turns", shown::count(self.turn().into())),
            Fact {
                title: format!(
                    "{} in, {} out, {}",
                    work.prompt_tokens,
                    work.completion_tokens,
                    shown::many(work.model_calls, "model call")
                ),
                ..fact("Tokens", shown::count(tokens))
            },
        ];
        let words = money::words(&self.cost);
        if !words.is_empty() {
            let sum = money::sum(&self.cost);
            let sum = if sum.is_empty() { "no price".to_owned() } else { sum };
            facts.push(Fact { title: words, ..fact("Cost", sum) });
        }
        let code = |name, value: &str| Fact { is_code: true, ..fact(name, shown::excerpt(value, 120)) };
        facts.extend(head.session_id.as_deref().filter(|s| !s.is_empty()).map(|s| {
            let filter = format!("session:\"{}\"", shown::text(s));
            let query = serde_urlencoded::to_string([("q", filter)]).unwrap_or_default();
            Fact { address: format!("/executions?{query}"), ..code("Session", s) }
        }));
        facts.extend(head.start_key.as_deref().map(|k| code("Idempotency key", k)));
        facts
    }

    fn turn(&self) -> i32 {
        self.then.as_ref().map_or(self.head.turn, |then| then.turn)
    }

    fn why(&self, reason: &Reason) -> Why {
        let (mark, icon) = match reason.code.as_str() {
            "no_worker" | "no_server" => ("warn", "alert"),
            "retry" | "lost" => ("warn", "redo"),
            "paused" | "queue_paused" => ("idle", "pause"),
            "approval" | "question" => ("human", "user"),
            "leased" | "model_running" => ("run", "ring"),
            _ => ("idle", "clock"),
        };
        let now = self.viewer.now;
        let since = reason.since.filter(|s| *s < now);
        let queue = reason.queue.as_deref().filter(|_| reason.code != "no_server");
        let query = queue.and_then(|q| serde_urlencoded::to_string([("queue", shown::text(q))]).ok());
        Why {
            mark,
            icon,
            text: shown::sentence(&shown::excerpt(&self.viewer.zone.retold(&reason.text, now), 600)),
            hint: reason
                .hint
                .as_deref()
                .map(|h| shown::sentence(&shown::excerpt(h, 300)))
                .unwrap_or_default(),
            since: since.map(|s| shown::duration(shown::secs(s, now))).unwrap_or_default(),
            queue: query.map(|q| format!("/queues?{q}")),
            can_resume: reason.code == "paused",
        }
    }

    fn asked(&self, approval: &Approval) -> Asked {
        let all = approval.arguments.value();
        let all = all.as_object().into_iter().flatten();
        let shown = |(name, value): (&String, &serde_json::Value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (shown::excerpt(name, 40), shown::excerpt(&text, 200))
        };
        let arguments: Vec<_> = all.clone().take(ARGUMENTS).map(shown).collect();
        let b = &approval.brief;
        let left = b.expires_at.map(|at| shown::duration(shown::secs(self.viewer.now, at)));
        Asked {
            id: b.id.to_string(),
            tool: shown::excerpt(&b.tool, 80),
            is_question: b.is_question,
            more: all.count().saturating_sub(ARGUMENTS),
            arguments,
            hash: approval.hash.clone(),
            when: left.map(|left| format!("{left} left")).unwrap_or_default(),
        }
    }

    /// What a program reads first of a run.
    pub fn cells(&self) -> Vec<(&'static str, Cell)> {
        let (head, work) = (&self.head, &self.work);
        let status = self.then.as_ref().map_or(head.status, |then| then.status);
        let reason = self.then.as_ref().map_or(&head.reason, |then| &then.reason);
        let ended_at = head.ended_at.filter(|_| status.is_terminal());
        let [cost, currency, unknown] = money::cells(&self.cost);
        vec![
            ("id", Cell::Text(self.id.to_string())),
            ("agent", Cell::Text(head.agent.clone())),
            ("version", Cell::Int(head.version.into())),
            ("status", Cell::Text(status.name().to_owned())),
            ("reason", Cell::text(reason.clone())),
            ("prompt", Cell::text(head.prompt.clone())),
            ("turn", Cell::Int(self.turn().into())),
            ("started_at", Cell::Time(head.created_at)),
            ("ended_at", Cell::time(ended_at)),
            ("duration", Cell::Secs(shown::secs(head.created_at, self.until()))),
            ("working", Cell::Secs(work.working)),
            ("prompt_tokens", Cell::Int(work.prompt_tokens)),
            ("completion_tokens", Cell::Int(work.completion_tokens)),
            ("cost", cost),
            ("currency", currency),
            ("unpriced_calls", unknown),
            ("session_id", Cell::text(head.session_id.clone())),
            ("idempotency_key", Cell::text(head.start_key.clone())),
            ("events", Cell::Int(self.newest().into())),
            ("messages", Cell::Int(self.messages().into())),
            ("attempts", Cell::Int(work.attempts)),
            ("forked_from", Cell::text(head.origin.as_ref().map(|o| o.id.to_string()))),
            ("forked_at", head.origin.as_ref().map_or(Cell::None, |o| Cell::Int(o.at.into()))),
            ("forks", Cell::text(ids(&self.forks))),
        ]
    }
}

/// Ids with spaces between them.
fn ids(forks: &[Fork]) -> Option<String> {
    let ids: Vec<_> = forks.iter().map(|f| f.id.to_string()).collect();
    (!ids.is_empty()).then(|| ids.join(" "))
}

/// A run that goes on from the one that is shown.
fn fork(of: ExecutionId, fork: &Fork) -> Link {
    let words = match fork.way.as_str() {
        "retry" => "Retried as ".to_owned(),
        "restart" => "Restarted as ".to_owned(),
        "replay" => "Replayed as ".to_owned(),
        "rerun" => format!("Rerun after event {} as ", fork.at),
        _ => format!("Forked after event {} as ", fork.at),
    };
    let (id, address) = (fork.id.to_string(), format!("/execution/{}", fork.id));
    let compared = format!("/diff?a={of}&b={id}");
    Link { words, id, address, compared, mark: Some(shown::status(fork.status, None)) }
}

/// The reason that colours the status.
fn worst(reasons: &[Reason]) -> Option<&str> {
    let rank = |code: &str| match code {
        "no_worker" | "no_server" => 0,
        "approval" | "question" => 1,
        "queue_paused" => 2,
        "lost" | "retry" => 3,
        _ => 4,
    };
    reasons.iter().map(|r| r.code.as_str()).min_by_key(|code| rank(code))
}
