//! The list of executions: every word of its filter, its cursors, views, actions on several, and how it behaves when there
//! is much to look through.

use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::harness::{Http, Server, TestDb, agent, calls, eventually, says, script, tools};

/// A text in an address.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |s, b| format!("{s}%{b:02X}"))
}

/// Undo the escapes of a page.
fn unescaped(html: &str) -> String {
    [("&#39;", "'"), ("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
        .iter()
        .fold(html.to_owned(), |html, (escape, c)| html.replace(escape, c))
}

struct Page {
    status: u16,
    html: String,
    cookie: String,
    address: String,
}

impl Page {
    fn lines(&self) -> Vec<String> {
        let cells = self.html.split("<a class=\"pri\" href=\"/execution/").skip(1);
        cells.map(|cell| cell.split('"').next().unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn between(&self, before: &str, after: &str) -> String {
        let (_, rest) =
            self.html.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", self.html));
        unescaped(rest.split(after).next().unwrap())
    }

    fn link(&self, rel: &str) -> Option<String> {
        let before = format!("rel=\"{rel}\" href=\"");
        self.html.contains(&before).then(|| self.between(&before, "\""))
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        assert!(self.html.contains(text), "no {text:?} in {}", self.html);
    }
}

async fn send(request: RequestBuilder) -> Page {
    let answer = request.header("accept", "text/html,*/*;q=0.8").send().await.unwrap();
    let status = answer.status().as_u16();
    let cookie = answer.headers().get("set-cookie").map_or("", |v| v.to_str().unwrap());
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let address = answer.url().as_str().to_owned();
    let html = answer.text().await.unwrap();
    assert!(status < 500, "{status}: {html}");
    Page { status, html, cookie, address }
}

async fn open(http: &Http, path: &str) -> Page {
    send(http.request("GET", path)).await
}

async fn find(http: &Http, q: &str) -> Vec<String> {
    let page = open(http, &format!("/executions?q={}", encoded(q))).await;
    assert_eq!(page.status, 200, "{q}: {}", page.html);
    page.lines()
}

/// Send a form of a page, as its buttons do.
async fn press(http: &Http, from: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
    let token = from.between("name=\"token\" value=\"", "\"");
    let fields: Vec<_> = fields.iter().copied().chain([("token", token.as_str())]).collect();
    let body = fields.iter().map(|(n, v)| format!("{n}={}", encoded(v))).collect::<Vec<_>>().join("&");
    let request = http.request("POST", path).header("cookie", &from.cookie);
    send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
}

/// Four runs of which everything is known: done, failed, stuck and paused.
struct Known {
    done: String,
    failed: String,
    stuck: String,
    paused: String,
}

async fn four_runs(server: &Server) -> Known {
    let asks = || script(&[calls(["lookup"]), says("It appeared in 1859.")]);
    let start = |name: &str, model: &str, tool: &str, prompt: &str, more: Value| {
        let mut start = json!({ "agentConfig": agent(name, model, tools([tool])), "prompt": prompt });
        start.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        start
    };
    let more = json!({ "sessionId": "customer 7", "idempotencyKey": "order-48211" });
    let done = server.start_with(&start("librarian", &asks(), "lookup", "When did it appear?", more)).await;
    let task = server.take("lookup").await;
    server.complete(&task, &json!({ "found": "in the Archive of Zürich" })).await;
    server.until(&done, "COMPLETED").await;

    let failed = server.start_with(&start("porter", "demo/unknown", "carry", "Carry it", json!({}))).await;
    server.until(&failed, "FAILED").await;

    let waits = script(&[calls(["dig"]), says("Done.")]);
    let stuck =
        server.start_with(&start("digger", &waits, "dig", "Dig \"here\", it's 100%_\\", json!({}))).await;
    let paused = server.start_with(&start("digger", &waits, "dig", "Rest", json!({}))).await;
    server.request("PUT", &format!("/api/agent/{paused}/pause")).send().await.unwrap();
    server.until(&paused, "PAUSED").await;
    eventually("it is stuck", async || {
        server.why(&stuck).await.iter().any(|(code, _)| code == "no_worker").then_some(())
    })
    .await;
    Known { done, failed, stuck, paused }
}

#[tokio::test]
async fn every_word_of_the_filter_finds_what_it_says_and_so_does_the_statement() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let client = db.connect().await;
    let Known { done, failed, stuck, paused } = four_runs(&server).await;
    let model = server.workflow(&done).await["input"]["model"].as_str().map(str::to_owned);
    let model = model.unwrap_or_default();
    let (d, f, s, p) = (done.as_str(), failed.as_str(), stuck.as_str(), paused.as_str());
    let mut cases: Vec<(String, Vec<&str>)> = [
        ("", vec![p, s, f, d]),
        ("status:failed", vec![f]),
        ("status:failed,completed", vec![f, d]),
        ("status:!failed,completed", vec![p, s]),
        ("agent:digger", vec![p, s]),
        ("agent:digger,porter", vec![p, s, f]),
        ("-agent:digger", vec![f, d]),
        ("agent:digger status:paused", vec![p]),
        ("agent:librarian status:completed", vec![d]),
        ("version:1", vec![p, s, f, d]),
        ("version:2", vec![]),
        ("since:24h", vec![p, s, f, d]),
        ("-since:24h", vec![]),
        ("until:1h", vec![]),
        ("until:2999-01-01", vec![p, s, f, d]),
        ("since:2020-01-01 until:2020-12-31", vec![]),
        ("is:stuck", vec![s]),
        ("is:retrying", vec![]),
        ("is:stuck,retrying", vec![s]),
        ("is:live", vec![p, s]),
        ("is:ended", vec![f, d]),
        ("-is:ended", vec![p, s]),
        ("is:live status:failed", vec![]),
        ("queue:dig", vec![p, s]),
        ("queue:lookup", vec![]),
        ("worker:tester", vec![d]),
        ("-worker:tester", vec![p, s, f]),
        ("tool:lookup", vec![d]),
        ("tool:lookup,dig", vec![p, s, d]),
        ("error:\"unknown\"", vec![f]),
        ("took:<1h", vec![p, s, f, d]),
        ("took:>1h", vec![]),
        ("tokens:>=0", vec![p, s, f, d]),
        ("tokens:>1000000", vec![]),
        ("turns:>1", vec![d]),
        ("turns:2", vec![d]),
        ("session:\"customer 7\"", vec![d]),
        ("-session:\"customer 7\"", vec![p, s, f]),
        ("key:order-48211", vec![d]),
        ("zürich", vec![d]),
        ("1859 archive", vec![d]),
        ("1859 nowhere", vec![]),
        ("-1859", vec![p, s, f]),
        ("48211", vec![d]),
        ("\"customer 7\"", vec![d]),
        ("\"\\\"here\\\", it's 100%_\\\\\"", vec![s]),
        ("it's", vec![s]),
        ("%", vec![s]),
    ]
    .map(|(q, ids)| (q.to_owned(), ids))
    .into();
    cases.push((format!("id:{done},{paused}"), vec![p, d]));
    cases.push((stuck.clone(), vec![s]));
    cases.push((format!("-id:{stuck}"), vec![p, f, d]));
    if !model.is_empty() {
        cases.push((format!("model:\"{model}\""), vec![d]));
    }
    for (q, expected) in cases {
        let page = open(&server, &format!("/executions?q={}", encoded(&q))).await;
        assert_eq!(page.lines(), expected, "{q}");
        let sql = page.between("data-statement>", "</pre>");
        assert_eq!(rows_of(&client, &sql).await, page.lines(), "{q}: {sql}");
    }
    let page = open(&server, &format!("/executions?after={f}&limit=1")).await;
    assert_eq!(page.lines(), [s]);
    assert_eq!(rows_of(&client, &page.between("data-statement>", "</pre>")).await, [s]);
    let page = open(&server, &format!("/executions?before={s}&limit=1")).await;
    assert_eq!(page.lines(), [f]);
    assert_eq!(rows_of(&client, &page.between("data-statement>", "</pre>")).await, [f]);
}

async fn rows_of(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap_or_else(|e| panic!("{e:?}: {sql}"));
    rows.iter().map(|r| r.get::<_, uuid::Uuid>("id").to_string()).collect()
}

#[tokio::test]
async fn what_is_wrong_in_a_filter_is_said_beside_it_and_the_rest_counts() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[says("Done.")]);
    let one = server.start_run(&agent("one", &model, json!([])), "first").await;
    server.start_run(&agent("other", &model, json!([])), "second").await;

    let path = format!("/executions?q={}", encoded("status:gone agent:one \"open <b>"));
    let page = open(&server, &path).await;
    assert_eq!((page.status, page.lines()), (400, vec![one.clone()]));
    page.shows("there is no status");
    page.shows("a quote is opened and not closed");
    assert_eq!(page.between("name=\"more\" value=\"", "\""), "status:gone \"open <b>");
    assert_eq!(page.between("name=\"q\" value=\"", "\""), "agent:one");
    for (path, status, said) in [
        (format!("/executions.json?q={}", encoded("foo:bar")), 400, "there is no filter 'foo'"),
        (format!("/executions.csv?q={}", encoded("took:5m")), 400, "took:>5m"),
        ("/executions.json?limit=0".to_owned(), 400, "from 1 to 200"),
        ("/executions?limit=201".to_owned(), 400, "from 1 to 200"),
        ("/executions?limit=99999999999999999999".to_owned(), 400, "from 1 to 200"),
        ("/executions?after=%00".to_owned(), 400, "begin at /executions again"),
        ("/executions?before=nobody".to_owned(), 400, "begin at /executions again"),
        (format!("/executions?before={one}&after={one}"), 400, "not both"),
        ("/executions?rows=x".to_owned(), 400, "names the lines of an open page"),
        ("/executions?status=gone".to_owned(), 400, "timed_out"),
    ] {
        let answer = server.get(&path).await;
        assert!(answer.status == status && answer.text.contains(said), "{path}: {answer:?}");
    }
    // What is typed is added to what is there, and the address says all of it.
    let more =
        open(&server, &format!("/executions?q=agent%3Aone&more={}", encoded("  since:1h first "))).await;
    assert!(more.address.ends_with("/executions?q=agent%3Aone+since%3A1h+first"), "{}", more.address);
    assert_eq!(more.lines(), [one]);
}

#[tokio::test]
async fn pages_lie_still_while_runs_start() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[says("Done.")]);
    let mut started = vec![];
    for n in 0..25 {
        started.push(server.start_run(&agent("first", &model, json!([])), &format!("number {n}")).await);
    }
    started.reverse();
    let mut seen = vec![];
    let mut pages = vec![];
    let mut next = Some("/executions?limit=10&q=agent%3Afirst".to_owned());
    while let Some(path) = next {
        let page = open(&server, &path).await;
        pages.push(page.lines());
        seen.extend(page.lines());
        next = page.link("next");
        started.insert(0, server.start_run(&agent("first", &model, json!([])), "late").await);
    }
    assert_eq!(seen, started[3..]);
    // And back again: the newer pages hold what they held, then what came since.
    let last = open(&server, &format!("/executions?limit=10&q=agent%3Afirst&before={}", seen[19])).await;
    assert_eq!(last.lines(), pages[2]);
    let middle = open(&server, &last.link("prev").unwrap()).await;
    assert_eq!(middle.lines(), pages[1]);
    let first = open(&server, &middle.link("prev").unwrap()).await;
    assert_eq!(first.lines(), pages[0]);
    let newest = open(&server, &first.link("prev").unwrap()).await;
    assert_eq!(newest.lines(), started[..3]);
    assert_eq!(newest.link("prev"), None);
}

#[tokio::test]
async fn an_open_page_follows_its_own_lines_and_counts_newer_ones() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says("Done.")]);
    let librarian = agent("librarian", &model, tools(["lookup"]));
    let start = || server.start_run(&librarian, "When?");
    let first = start().await;
    let page = open(&server, "/executions?q=status%3Arunning").await;
    assert_eq!(page.lines(), std::slice::from_ref(&first));
    assert!(!page.html.contains("newer execution"));
    let follow = page.between("data-live=\"", "\"");
    let (second, third) = (start().await, start().await);
    let later = open(&server, &follow).await;
    assert_eq!(later.lines(), std::slice::from_ref(&first), "nothing moves");
    later.shows("2 newer executions. Show them");
    for _ in 0..3 {
        let task = server.take("lookup").await;
        server.complete(&task, &json!({})).await;
    }
    server.until(&first, "COMPLETED").await;
    let done = open(&server, &follow).await;
    assert_eq!(done.lines(), std::slice::from_ref(&first), "a line that no longer matches stays");
    done.shows("Completed");
    server.until(&second, "COMPLETED").await;
    server.until(&third, "COMPLETED").await;
    assert_eq!(find(&server, "status:running").await, [""; 0]);

    let stream = server.request("GET", &follow).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut stream = stream;
    let mut heard = String::new();
    while !heard.contains("event: drawn") {
        heard.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    for part in ["\"stats\"", "\"histogram\"", "\"tabs\"", "\"fresh\"", &format!("\"r-{first}\"")] {
        assert!(heard.contains(part), "no {part} in {heard}");
    }
}

#[tokio::test]
async fn a_filter_is_kept_under_a_name_for_everybody() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[says("Done.")]);
    let run = server.start_run(&agent("my-agent", &model, json!([])), "hello").await;
    server.until(&run, "COMPLETED").await;
    let q = "agent:my-agent since:7d";
    let page = open(&server, &format!("/executions?q={}", encoded(q))).await;
    page.shows("Save this view");
    let evil = "<script>alert(1)</script>'\"\u{0}";
    let saved = press(&server, &page, "/views", &[("q", q), ("name", evil)]).await;
    assert_eq!((saved.status, saved.lines()), (200, vec![run.clone()]));
    saved.shows("&#60;script&#62;alert(1)");
    assert!(!saved.html.contains("<script>alert"));
    saved.shows("Delete this view");

    let long = "x".repeat(61);
    for (name, q, status, said) in [
        (evil, "agent:y", 409, "already"),
        ("", "agent:y", 400, "needs a name"),
        (&*long, "agent:y", 400, "1 to 60"),
        ("y", "", 400, "narrow the list first"),
        ("y", "status:gone", 400, "There is no status"),
    ] {
        let refused = press(&server, &page, "/views", &[("q", q), ("name", name)]).await;
        assert_eq!(refused.status, status, "{name:?} {q:?}");
        assert!(refused.html.to_lowercase().contains(&said.to_lowercase()), "{said}: {}", refused.html);
    }
    let forged = server.request("POST", "/views").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(send(forged.body("token=x&name=a&q=agent%3Aa")).await.status, 403);

    // Another server on the same database shows it, too, with its count.
    let other = Server::start(&db).await;
    eventually("the view is counted", async || {
        let page = open(&other, "/executions").await;
        page.html
            .contains("alert(1)&#60;/script&#62;&#39;&#34;\u{2400}<span class=\"n \">1</span>")
            .then_some(())
    })
    .await;
    let delete = saved.between("action=\"/views/", "\"");
    let gone = press(&server, &page, &format!("/views/{delete}"), &[]).await;
    assert!(gone.status == 200 && !gone.html.contains("alert(1)"));
    assert_eq!(press(&server, &page, &format!("/views/{delete}"), &[]).await.status, 200, "twice is once");
    for n in 0..31 {
        let (name, q) = (format!("view {n}"), format!("turns:>{n}"));
        let status = press(&server, &page, "/views", &[("q", &q), ("name", &name)]).await.status;
        assert_eq!(status, if n < 30 { 200 } else { 409 });
    }
}

#[tokio::test]
async fn several_runs_are_acted_on_at_once() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let waits = script(&[calls(["nobody"]), says("Done.")]);
    let mut live = vec![];
    for n in 0..3 {
        live.push(
            server.start_run(&agent("waiter", &waits, tools(["nobody"])), &format!("number {n}")).await,
        );
    }
    let ended = server.start_run(&agent("quick", &script(&[says("Done.")]), json!([])), "hello").await;
    server.until(&ended, "COMPLETED").await;
    let page = open(&server, "/executions?q=since%3A24h").await;
    page.shows("name=\"id\"");
    let back = page.between("name=\"back\" value=\"", "\"");
    let with = |action: &'static str, reason: &'static str| {
        let ids = live.iter().chain([&ended]).map(|id| ("id", id.as_str()));
        let rest = [("action", action), ("reason", reason), ("back", back.as_str())];
        ids.chain(rest).collect::<Vec<_>>()
    };
    let paused = press(&server, &page, "/executions/act", &with("pause", "")).await;
    assert!(paused.address.contains("/executions?q=since%3A24h&did=pause"), "{}", paused.address);
    paused.shows("3 paused; 1 had ended before.");
    for id in &live {
        assert_eq!(server.status(id).await["status"], "PAUSED");
    }
    press(&server, &page, "/executions/act", &with("pause", ""))
        .await
        .shows("3 paused already; 1 had ended before.");
    press(&server, &page, "/executions/act", &with("resume", ""))
        .await
        .shows("3 resumed; 1 had ended before.");
    press(&server, &page, "/executions/act", &with("stop", "")).await.shows("3 will stop after their turn");
    let cancelled = press(&server, &page, "/executions/act", &with("cancel", "not <b>needed")).await;
    cancelled.shows("3 cancelled; 1 had ended before.");
    cancelled.shows("Not &#60;b&#62;needed");

    let unknown = "01a1fcfa-538f-71c9-afdc-37c6bf8c69cf";
    press(&server, &page, "/executions/act", &[("id", unknown), ("action", "pause")])
        .await
        .shows("1 not there any more.");
    for (fields, status) in [
        (vec![("action", "pause")], 400),
        (vec![("id", "x"), ("action", "pause")], 400),
        (vec![("id", unknown), ("action", "delete")], 404),
        (vec![("id", unknown)], 404),
    ] {
        assert_eq!(press(&server, &page, "/executions/act", &fields).await.status, status, "{fields:?}");
    }
    let away = [("id", unknown), ("action", "pause"), ("back", "//evil.example/")];
    assert!(press(&server, &page, "/executions/act", &away).await.address.starts_with(server.base()));
    let forged =
        server.request("POST", "/executions/act").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(send(forged.body(format!("id={}&action=pause&token=x", live[0]))).await.status, 403);
}

/// Many runs, the oldest first; `number` is in the prompt, and `text` makes each one wide.
async fn fill(client: &Client, many: i64, width: i32) {
    client
        .batch_execute(
            "insert into tenure.agents (name, current) values ('many', 1) on conflict do nothing;
             insert into tenure.agent_versions (name, version, checksum, definition)
             values ('many', 1, 'c', '{}') on conflict do nothing",
        )
        .await
        .unwrap();
    client
        .execute(
            "insert into tenure.executions (id, agent, version, status, input, context, output, created_at, ended_at)
             select overlay(tenure.id_at(at)::text placing lpad(to_hex(n), 12, '0') from 25 for 12)::uuid, 'many', 1, 'completed',
                    json_build_object('prompt', 'number <' || n || '>', 'rest', repeat(md5(n::text), $2)),
                    '{}', '{\"result\": \"fine\"}', at, at + interval '3 s'
               from (select n, now() - ($1 - n) * interval '60 ms' as at from generate_series(1, $1::bigint) n) x",
            &[&many, &width],
        )
        .await
        .unwrap();
    client
        .batch_execute(
            "insert into tenure.events (execution_id, seq, kind, at, state)
             select id, 1, 'completed', ended_at, '{\"turn\": 1, \"prompt_tokens\": 10, \"completion_tokens\": 1}'
               from tenure.executions where agent = 'many'",
        )
        .await
        .unwrap();
    client.batch_execute("vacuum analyze tenure.executions, tenure.events").await.unwrap();
}

#[tokio::test]
async fn a_search_through_much_says_how_far_it_got_and_goes_on() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let client = db.connect().await;
    let many = 60_000;
    fill(&client, many, 20).await;

    // What an index serves is there at once, however much there is.
    for q in [
        "",
        "agent:many",
        "status:completed since:24h",
        "status:failed",
        "session:x",
        "agent:many status:completed",
    ] {
        let begin = Instant::now();
        find(&server, q).await;
        assert!(begin.elapsed() < Duration::from_millis(1500), "{q}: {:?}", begin.elapsed());
    }
    // The oldest of all, by a word: in as many pages as it takes, none of them for long.
    let mut next = Some(format!("/executions?q={}", encoded("\"number <1>\"")));
    let (mut found, mut pages) = (vec![], 0);
    while let Some(path) = next {
        let begin = Instant::now();
        let page = open(&server, &path).await;
        assert_eq!(page.status, 200);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        if page.html.contains("Looked through") {
            page.shows("Go on");
        }
        found.extend(page.lines());
        (next, pages) = (page.link("next"), pages + 1);
        assert!(pages < 200, "it does not get on");
    }
    assert_eq!(found.len(), 1, "after {pages} pages");

    let json = server.get("/executions.json?limit=200&q=turns%3A%3E0").await.ok();
    assert_eq!(json["executions"].as_array().unwrap().len(), 200);
    assert!(json["next"].as_str().unwrap().starts_with("/executions.json?"));
    let csv = server.get("/executions.csv?q=agent%3Amany").await;
    let lines: Vec<_> = csv.text.lines().collect();
    assert_eq!(lines.len(), 10_002);
    assert!(
        lines[0].starts_with("id,status,") && lines[10_001].contains("there are more. Go on: http"),
        "{}",
        lines[10_001]
    );
    let tail = lines[10_001]
        .split_once(server.base())
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    let more = server.get(tail).await;
    assert!(more.status == 200 && more.text.lines().count() == 10_002, "{tail}");
    let begin = Instant::now();
    let facts = eventually("the numbers are known", async || {
        let page = open(&server, "/executions").await;
        page.html.contains("11.0").then_some(()).or_else(|| (!page.html.contains(">counting<")).then_some(()))
    });
    facts.await;
    assert!(begin.elapsed() < Duration::from_secs(10));
    open(&server, "/executions").await.shows("p50 3.0 s, p95 3.0 s");
}

#[tokio::test]
async fn a_time_is_a_range_of_ids() {
    let db = TestDb::new().await;
    let client = db.connect().await;
    let one = client
        .query_one(
            "select tenure.id_at('2026-11-21 07:00:00.123Z')::text as a, tenure.id_at('-infinity')::text as b,
                    tenure.id_at('infinity') > tenure.id_at('9000-01-01') as c, tenure.id_at('1969-01-01')::text as d,
                    tenure.id_at('2026-11-21 07:00:00.1239Z')::text as e",
            &[],
        )
        .await
        .unwrap();
    let text = |name: &str| one.get::<_, String>(name);
    let (first, epoch) = ("01a1fce7-9dfb-7000-8000-000000000000", "00000000-0000-7000-8000-000000000000");
    assert_eq!([text("a"), text("b"), text("d"), text("e")], [first, epoch, epoch, first]);
    assert!(one.get::<_, bool>("c"));
}
