//! The pages, as a browser without script sees them.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::harness::{Http, Server, TestDb, agent, calls, eventually, says, script, tools};

/// What a browser got.
struct Page {
    status: u16,
    headers: HeaderMap,
    html: String,
}

impl Page {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        assert!(self.html.contains(text), "no {text:?} in {}", self.html);
    }

    /// Ids of the list's lines, in order.
    fn lines(&self) -> Vec<String> {
        let cells = self.html.split("<a class=\"pri\" href=\"/execution/").skip(1);
        cells.map(|cell| cell.split('"').next().unwrap().to_owned()).collect()
    }

    /// Address of the link to the next page.
    fn older(&self) -> Option<String> {
        let (_, link) = self.html.split_once("rel=\"next\" href=\"")?;
        Some(link.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&"))
    }

    /// What stands between two texts.
    #[track_caller]
    fn between(&self, before: &str, after: &str) -> String {
        let (_, rest) =
            self.html.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", self.html));
        rest.split(after).next().unwrap().to_owned()
    }
}

async fn send(request: reqwest::RequestBuilder) -> Page {
    let answer = request.header("accept", "text/html,*/*;q=0.8").send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let html = answer.text().await.unwrap();
    assert!(status < 500, "{status}: {html}");
    Page { status, headers, html }
}

async fn open(http: &Http, path: &str) -> Page {
    send(http.request("GET", path)).await
}

/// Open a page that must be one.
async fn read(http: &Http, path: &str) -> Page {
    let page = open(http, path).await;
    assert_eq!(page.status, 200, "{path}: {}", page.html);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    page
}

async fn run_to_the_end(server: &Server, name: &str, prompt: &str, output: &Value) -> String {
    let model = script(&[calls(["lookup"]), says("It appeared in 1859.")]);
    let id = server.start_run(&agent(name, &model, tools(["lookup"])), prompt).await;
    let task = server.take("lookup").await;
    server.complete(&task, output).await;
    server.until(&id, "COMPLETED").await;
    id
}

#[tokio::test]
async fn a_run_is_on_the_list_and_has_a_page() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let empty = read(&server, "/").await;
    empty.shows("tenure demo");
    empty.shows("tenure agent run --config");

    let id = run_to_the_end(&server, "librarian", "When did it appear?", &json!({ "year": 1859 })).await;
    let list = read(&server, "/executions").await;
    assert_eq!(list.lines(), std::slice::from_ref(&id));
    for text in ["When did it appear?", "librarian", "Completed", "It appeared in 1859.", "2 turns"] {
        list.shows(text);
    }

    let page = read(&server, &format!("/execution/{id}")).await;
    for text in [
        "When did it appear?",
        "It appeared in 1859.",
        "tester",
        "Turn 2",
        "<span class=\"k\">&#34;year&#34;</span>",
        "tool lookup returned",
        "tenure.timeline_page(",
    ] {
        page.shows(text);
    }
    for action in ["pause", "resume", "stop", "cancel", "message", "retry"] {
        let form = format!("action=\"/execution/{id}/{action}\"");
        assert!(!page.html.contains(&form), "what has ended takes no action {action}");
    }

    let step = read(&server, &format!("/execution/{id}?step=tool-1-0")).await;
    step.shows("aria-label=\"Selected step\"");
    let json = server.get(&format!("/execution/{id}.json")).await.ok();
    assert_eq!((&json["status"], &json["turn"]), (&json!("completed"), &json!(2)));
    let payloads = server.get(&format!("/execution/{id}/payloads.json")).await.ok();
    assert_eq!(payloads["output"]["result"], "It appeared in 1859.");
    let head = send(server.request("HEAD", &format!("/execution/{id}"))).await;
    assert_eq!((head.status, head.html.as_str()), (200, ""));
}

#[tokio::test]
async fn pages_carry_the_headers_that_keep_hostile_text_harmless() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    for path in ["/executions", "/execution/nobody"] {
        let page = open(&server, path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(
            (page.header("x-content-type-options"), page.header("referrer-policy")),
            ("nosniff", "same-origin")
        );
        let (inline, ours) =
            (page.html.matches("<script").count(), page.html.matches("<script src=\"/assets/").count());
        assert!(inline == ours && !page.html.contains(" style=") && !page.html.contains("<style"));
    }
    let css = read(&server, "/executions").await.between("<link rel=\"stylesheet\" href=\"", "\"");
    let kept = open(&server, &css).await;
    assert_eq!((kept.status, kept.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(kept.header("cache-control").contains("immutable") && kept.html.contains("light-dark("));
    let older = open(&server, "/assets/0000000000000000/app.css").await;
    assert_eq!((older.status, older.header("cache-control")), (200, "no-cache"));
    assert_eq!(open(&server, "/assets/0000000000000000/other.css").await.status, 404);
}

#[tokio::test]
async fn what_anybody_sent_is_text_on_a_page() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let evil = "</pre></title>'\"><script>alert(1)</script><img src=x onerror=alert(2)>\u{0}";
    let model = script(&[
        json!({ "text": evil, "calls": [{ "name": "lookup", "arguments": { evil: evil } }] }),
        json!({ "calls": [{ "name": evil, "arguments": {} }] }),
        says(evil),
    ]);
    let start = json!({
        "agentConfig": agent("librarian", &model, tools(["lookup"])), "prompt": evil,
        "sessionId": evil, "idempotencyKey": evil, "context": { evil: evil },
    });
    let id = server.start_with(&start).await;
    server.register("lookup", &json!({})).await;
    let task = server.take("lookup").await;
    let failed = json!({ "reasonForIncompletion": evil, "workerId": evil });
    server.report(&task, "FAILED", &failed).await;
    let task = server.take("lookup").await;
    server.complete(&task, &json!({ "result": evil, evil: [evil] })).await;
    server.until(&id, "COMPLETED").await;
    let cancelled =
        server.start_run(&agent("other", &script(&[calls(["nobody"])]), tools(["nobody"])), evil).await;
    server.take("nobody").await;
    let encoded: String = evil.bytes().fold(String::new(), |s, b| format!("{s}%{b:02X}"));
    server.delete(&format!("/api/agent/{cancelled}/cancel?reason={encoded}")).await;

    for path in [
        "/executions".to_owned(),
        format!("/executions?q={encoded}"),
        format!("/executions?q=1859&agent={encoded}"),
        format!("/executions?status={encoded}"),
        format!("/executions?before={encoded}"),
        format!("/execution/{id}"),
        format!("/execution/{id}?step=tool-1-0"),
        format!("/execution/{id}?step=tool-1-0&show=tries"),
        format!("/execution/{id}?step=tool-1-0&show=raw&raw=1"),
        format!("/execution/{id}?step={encoded}"),
        format!("/execution/{id}?at={encoded}"),
        format!("/execution/{id}?show={encoded}&turn={encoded}&fold={encoded}&raw={encoded}"),
        format!("/execution/{id}/conversation"),
        format!("/execution/{id}/conversation?raw=1"),
        format!("/execution/{id}/conversation?before={encoded}"),
        format!("/execution/{id}/events"),
        format!("/execution/{id}/attempts"),
        format!("/execution/{id}/attempts?before={encoded}"),
        format!("/execution/{id}/state"),
        format!("/execution/{id}/payloads"),
        format!("/execution/{id}/agent"),
        format!("/execution/{id}/logs"),
        format!("/execution/{id}/logs?attempt={encoded}"),
        format!("/execution/{id}/{encoded}"),
        format!("/execution/{cancelled}"),
        format!("/execution/{encoded}"),
        format!("/{encoded}"),
    ] {
        let page = open(&server, &path).await;
        let html = page.html.to_lowercase().replace("<script src=\"/assets/", "");
        for tag in ["<script", "<img", "</pre></title", "'\">"] {
            assert!(!html.contains(tag), "{tag} on {path}: {html}");
        }
        let swapped = page.html.find(['\u{0}', '\u{100000}']);
        assert_eq!(swapped.map(|at| page.html[..at].lines().last()), None, "{path}");
    }
    let found = read(&server, &format!("/executions?q={encoded}")).await.lines();
    assert_eq!(found.len(), 2, "it is found by what was sent");
    read(&server, &format!("/execution/{id}")).await.shows("&#60;script&#62;alert(1)");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_people_and_json_for_programs() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let unknown = "/execution/01a1fcfa-538f-71c9-afdc-37c6bf8c69cf";
    for (path, status, says) in [
        (unknown, 404, "o execution with id"),
        ("/execution/nobody", 404, "o execution with id"),
        ("/execution/%ff%00", 404, "o execution with id"),
        ("/executions?before=nobody", 400, "begin at /executions again"),
        ("/executions?status=gone", 400, "timed_out"),
        ("/no/such/page", 404, "No static resource"),
    ] {
        let page = open(&server, path).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (status, "text/html; charset=utf-8"),
            "{path}"
        );
        page.shows(says);
        page.shows("href=\"/executions\"");
        let line = server.get(path).await;
        assert!(line.status == status && line.text.contains(says), "{path}: {line:?}");
        let is_plain = line.content_type.starts_with("text/plain");
        assert_eq!(is_plain, path != "/no/such/page", "{path}: {line:?}");
        let json = server.request("GET", path).header("accept", "application/json");
        assert!(Http::send(json).await.refused(status).contains(says), "{path}");
    }
    assert!(server.get("/execution/nobody.json").await.refused(404).contains("nobody"));
    for path in [
        "/executions?q=%00",
        "/executions?q=%ff%f4%80",
        "/executions?agent=%00&q='",
        "/executions?before=&x=1",
    ] {
        read(&server, path).await;
    }
    let press = || server.request("POST", &format!("{unknown}/pause"));
    let form = press().header("content-type", "application/x-www-form-urlencoded");
    for (request, status) in [(press(), 415), (form, 403)] {
        let lost = send(request).await;
        assert_eq!((lost.status, lost.header("content-type")), (status, "text/html; charset=utf-8"));
    }
}

#[tokio::test]
async fn two_hundred_runs_are_leafed_through_without_repeats() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[says("Done.")]);
    let mut started = vec![];
    for n in 0..200 {
        let name = if n % 4 == 0 { "fourth" } else { "other" };
        started.push(server.start_run(&agent(name, &model, json!([])), &format!("number <{n}>")).await);
    }
    started.reverse();

    let mut seen = vec![];
    let mut next = Some("/executions".to_owned());
    while let Some(path) = next {
        let page = read(&server, &path).await;
        seen.extend(page.lines());
        next = page.older();
        // What starts meanwhile moves nothing.
        server.start_run(&agent("late", &model, json!([])), "late").await;
    }
    assert_eq!(seen, started);

    let fourth = read(&server, "/executions?agent=fourth").await;
    assert_eq!((fourth.lines().len(), fourth.lines()[0].as_str()), (50, started[3].as_str()));
    eventually("all have completed", async || {
        read(&server, "/executions?status=running").await.lines().is_empty().then_some(())
    })
    .await;
    assert_eq!(read(&server, "/executions?q=%3C137%3E").await.lines(), [started[62].clone()]);
    assert_eq!(read(&server, &format!("/executions?q={}", started[7])).await.lines(), [started[7].clone()]);
    read(&server, "/executions?q=nowhere").await.shows("No execution matches");
}

#[tokio::test]
async fn a_run_that_can_not_go_on_says_why_and_what_to_do() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says("Done.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When?").await;
    let path = format!("/execution/{id}");
    eventually("the page says why", async || {
        let page = read(&server, &path).await;
        page.html.contains("No live worker polls queue &#39;lookup&#39;").then_some(())
    })
    .await;
    read(&server, &path).await.shows("tenure worker --queue lookup");
    let list = read(&server, "/executions").await;
    list.shows("Stuck");
    list.shows("No live worker polls queue");
}

#[tokio::test]
async fn a_lost_worker_is_seen_with_who_took_over() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    server.register("lookup", &json!({ "responseTimeoutSeconds": 1 })).await;
    let model = script(&[calls(["lookup"]), says("Done.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When?").await;
    server.take("lookup").await;
    let again = server.take("lookup").await;
    server.complete(&again, &json!({})).await;
    server.until(&id, "COMPLETED").await;

    let page = read(&server, &format!("/execution/{id}")).await;
    page.shows("tester was lost, tester took over in");
    page.shows("2 tries");
    page.shows("class=\"s-fail\"");
    read(&server, "/executions").await.shows("survived 1 lost worker");
}

/// Press a button of a page, with what a browser sends along.
async fn press(server: &Server, page: &Page, path: &str, more: &[(&str, &str)], reason: &str) -> Page {
    let token = page.between("name=\"token\" value=\"", "\"");
    let mut request =
        server.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    send(request.body(format!("token={token}&reason={reason}"))).await
}

#[tokio::test]
async fn buttons_act_for_our_own_pages_only() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says("Done.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When?").await;
    server.take("lookup").await;
    let path = |action: &str| format!("/execution/{id}/{action}");

    let page = read(&server, &format!("/execution/{id}")).await;
    let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(page.header("set-cookie").contains("HttpOnly; SameSite=Lax"));
    let ours = [("cookie", &*cookie), ("origin", server.base()), ("sec-fetch-site", "same-origin")];

    let evil = [("cookie", &*cookie), ("origin", "http://evil.example")];
    let cross = [("cookie", &*cookie), ("sec-fetch-site", "cross-site")];
    for headers in [&[][..], &evil[..], &cross[..]] {
        let refused = press(&server, &page, &path("cancel"), headers, "").await;
        assert_eq!(refused.status, 403);
        refused.shows("go back, load the page again");
    }
    assert_eq!(server.status(&id).await["status"], "RUNNING");

    let paused = press(&server, &page, &path("pause"), &ours, "").await;
    assert_eq!(paused.status, 200, "it shows the run again");
    paused.shows("Paused by a person at 127.0.0.1");
    assert_eq!(press(&server, &page, &path("pause"), &ours, "").await.status, 200, "twice is once");
    assert_eq!(press(&server, &page, &path("resume"), &ours, "").await.status, 200);
    assert_eq!(server.status(&id).await["status"], "RUNNING");
    assert_eq!(press(&server, &page, &path("delete"), &ours, "").await.status, 404);

    press(&server, &page, &path("cancel"), &ours, "wrong+%3Cb%3Erun").await.shows("Wrong &#60;b&#62;run");
    assert_eq!(server.status(&id).await["status"], "TERMINATED");
    let late = press(&server, &page, &path("pause"), &ours, "").await;
    assert_eq!(late.status, 409);
    late.shows("is terminated");
}

#[tokio::test]
async fn with_a_key_a_browser_is_asked_for_it() {
    let db = TestDb::new().await;
    let server = Server::with(&db, |command| {
        command.env("TENURE_API_KEY", "sesame");
    })
    .await;
    for path in ["/", "/executions", "/execution/x", "/execution/x.json", "/assets/0/app.css"] {
        let page = open(&server, path).await;
        assert_eq!(page.status, 401, "{path}");
        assert!(page.header("www-authenticate").starts_with("Basic "));
    }
    let page = send(server.request("GET", "/executions").basic_auth("anybody", Some("sesame"))).await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn a_page_that_nobody_has_open_any_more_is_let_go() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let views = async |wanted: &str| {
        let metrics = server.get("/metrics").await.text;
        metrics.lines().any(|line| line == format!("tenure_open_views {wanted}")).then_some(())
    };
    let tab = server.request("GET", "/queues").header("accept", "text/event-stream").send().await.unwrap();
    eventually("the view is kept while it is open", async || views("1").await).await;
    drop(tab);
    eventually("the view is let go", async || views("0").await).await;
}
