//! The pages of agents, as a browser without script sees them.

use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tokio_postgres::SimpleQueryMessage;

use crate::harness::{Http, Server, TestDb, agent, calls, eventually, says, script, tools};

/// A browser that keeps its cookie and goes where it is sent only when it is told to.
struct Browser {
    client: reqwest::Client,
    base: String,
    cookie: String,
}

/// What it got.
struct Page {
    status: u16,
    location: String,
    html: String,
}

impl Page {
    #[track_caller]
    fn shows(&self, text: &str) -> &Self {
        assert!(self.html.contains(text), "no {text:?} in {}", self.html);
        self
    }

    #[track_caller]
    fn lacks(&self, text: &str) -> &Self {
        assert!(!self.html.contains(text), "{text:?} in {}", self.html);
        self
    }

    /// What stands between two texts, as a browser reads it, each time.
    fn all_between(&self, before: &str, after: &str) -> Vec<String> {
        self.html.split(before).skip(1).map(|rest| unescaped(rest.split(after).next().unwrap())).collect()
    }

    #[track_caller]
    fn between(&self, before: &str, after: &str) -> String {
        let found = self.all_between(before, after);
        found.into_iter().next().unwrap_or_else(|| panic!("no {before} in {}", self.html))
    }

    /// Names of the list's lines.
    fn names(&self) -> Vec<String> {
        let rows = self.html.split("data-open href=\"/agents/").skip(1);
        rows.map(|row| unescaped(row.split_once('>').unwrap().1.split('<').next().unwrap())).collect()
    }

    /// Its statements for psql.
    fn statements(&self) -> Vec<String> {
        self.all_between("<pre tabindex=\"0\" data-statement>", "</pre>")
    }
}

fn unescaped(html: &str) -> String {
    [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&"), ("&amp;", "&")]
        .iter()
        .fold(html.to_owned(), |text, (code, c)| text.replace(code, c))
}

impl Browser {
    async fn at(server: &Server) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        let mut browser = Self { client, base: server.base().to_owned(), cookie: String::new() };
        let answer = browser.request("GET", "/agents").send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().clone_into(&mut browser.cookie);
        browser
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.client
            .request(method, format!("{}{path}", self.base))
            .header("accept", "text/html,*/*;q=0.8")
            .header("cookie", &self.cookie)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let location = answer.headers().get("location").map(|l| l.to_str().unwrap().to_owned());
        let html = answer.text().await.unwrap();
        assert!(status < 500, "{status}: {html}");
        Page { status, location: location.unwrap_or_default(), html }
    }

    async fn open(&self, path: &str) -> Page {
        self.send(self.request("GET", path)).await
    }

    async fn read(&self, path: &str) -> Page {
        let page = self.open(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.html);
        page
    }

    /// Send the start form of a page with these fields.
    async fn start(&self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let (token, key) =
            (page.between("name=\"token\" value=\"", "\""), page.between("name=\"key\" value=\"", "\""));
        let own = [("token", token.as_str()), ("key", key.as_str())];
        let form: Vec<_> = own.iter().chain(fields).copied().collect();
        self.send(filled(self.request("POST", &format!("{path}/start")), &form)).await
    }
}

/// A request with the fields of a form.
fn filled(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"))
}

/// Every byte of a name as a path may hold it.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |s, b| format!("{s}%{b:02X}"))
}

async fn deploy(http: &Http, definition: &Value) {
    http.post("/api/agent/deploy", &json!({ "agentConfig": definition })).await.ok();
}

/// Rows of a statement, as texts.
async fn rows(db: &tokio_postgres::Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let found = db.simple_query(sql).await.unwrap_or_else(|e| panic!("{e:?}: {sql}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect()),
        _ => None,
    };
    found.iter().filter_map(row).collect()
}

#[tokio::test]
async fn agents_are_listed_with_how_their_runs_went() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let browser = Browser::at(&server).await;
    let empty = browser.read("/agents").await;
    empty.shows("No agent is deployed here yet");
    empty.shows(&format!("tenure agent deploy agent.yaml --server {}", server.base()));

    let model = script(&[calls(["lookup"]), says("It appeared in 1859.")]);
    let librarian = agent("librarian", &model, tools(["lookup", "b", "c", "d", "e"]));
    let id = server.start_run(&librarian, "When did it appear?").await;
    let task = server.take("lookup").await;
    server.complete(&task, &json!({ "year": 1859 })).await;
    server.until(&id, "COMPLETED").await;
    let broken = server.start_run(&agent("librarian", &script(&[]), tools(["lookup"])), "again").await;
    eventually("it has failed", async || (server.status(&broken).await["status"] == "FAILED").then_some(()))
        .await;
    let waiting = server.start_run(&librarian, "waits").await;
    server.take("lookup").await;
    deploy(&server, &agent("idle", &model, json!([]))).await;

    let list = browser.read("/agents").await;
    assert_eq!(list.names(), ["idle", "librarian"]);
    list.shows("1 of 2 ended").shows("50 %").shows("3 runs").shows("and 1 more").shows("never");
    assert_eq!(browser.read("/agents?q=LIB").await.names(), ["librarian"]);
    browser.read("/agents?q=%25").await.shows("No agent matches");
    browser.read("/agents?deleted=1").await.shows("No agent is deleted");

    let page = browser.read("/agents/librarian").await;
    for text in [
        "When did it appear?",
        "It appeared in 1859.",
        "1 of 2 that ended",
        "class=\"shape\"",
        "Deployed",
        "Do it.",
        "at most 25",
        "<b>lookup</b>",
        "href=\"/executions?q=agent%3Alibrarian\"",
    ] {
        page.shows(text);
    }
    assert_eq!(page.all_between("data-open href=\"/execution/", "\"").first(), Some(&waiting));
    browser.read("/agents/idle").await.shows("It has not run yet").shows("tenure agent run --name idle ");
    let home = browser.read("/executions").await;
    home.shows("href=\"/agents\">").shows("Start an agent");
}

#[tokio::test]
async fn versions_are_kept_and_compared() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let browser = Browser::at(&server).await;
    let with = |instructions: &str| {
        let mut definition = agent("writer", "demo/echo", json!([]));
        definition["instructions"] = json!(instructions);
        definition
    };
    deploy(&server, &with("Write.\nBriefly.")).await;
    let id = server.start_run(&with("Write.\nBriefly."), "x").await;
    server.until(&id, "COMPLETED").await;
    deploy(&server, &with("Write.\nAt length.")).await;

    let page = browser.read("/agents/writer").await;
    assert_eq!(page.all_between("class=\"pri\" href=\"/agents/writer?version=", "#definition\""), ["2", "1"]);
    page.shows("At length.").shows("diff=1..2").lacks("Older version");
    let older = browser.read("/agents/writer?version=1").await;
    older.shows("Older version").shows("Definition of v1").shows("Write.\nBriefly.");
    let change = browser.read("/agents/writer?diff=1..2").await;
    change
        .shows("From v1 to v2")
        .shows("<span class=\"del\">- Briefly.")
        .shows("<span class=\"add\">+ At length.");
    browser.read("/agents/writer?diff=2..2").await.shows("the two are the same");

    server.delete("/api/agent/writer?version=1").await;
    browser.read("/agents/writer?version=1").await.shows("Deleted version").shows(">deleted</span>");
    let form = browser.read("/agents/writer").await;
    let refused = browser.start(&form, "/agents/writer", &[("prompt", "x"), ("version", "1")]).await;
    assert_eq!(refused.status, 422);
    refused.shows("Version 1 can&#39;t be started");
    server.delete("/api/agent/writer").await;
    let gone = browser.read("/agents/writer").await;
    gone.shows("nobody can start it").lacks("action=\"/agents/writer/start\"");
    assert!(browser.read("/agents").await.names().is_empty());
    assert_eq!(browser.read("/agents?deleted=1").await.names(), ["writer"]);

    for (path, status, says) in [
        ("/agents/nobody", 404, "tenure agent deploy FILE"),
        ("/agents/writer?version=9", 404, "no version &#39;9&#39;"),
        ("/agents/writer?version=x", 404, "no version &#39;x&#39;"),
        ("/agents/writer?diff=1", 400, "such as 3..4"),
        ("/agents/writer?diff=1..9", 404, "no version &#39;9&#39;"),
    ] {
        let page = browser.open(path).await;
        assert_eq!(page.status, status, "{path}");
        page.shows(says);
    }
}

#[tokio::test]
async fn a_form_starts_one_run_however_often_it_is_sent() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let browser = Browser::at(&server).await;
    let path = "/agents/librarian";
    deploy(&server, &agent("librarian", &script(&[calls(["lookup"]), says("Old.")]), tools(["lookup"])))
        .await;
    deploy(&server, &agent("librarian", &script(&[calls(["lookup"]), says("New.")]), tools(["lookup"])))
        .await;

    let page = browser.read(path).await;
    let fields = [
        ("prompt", "When did\r\nit appear?"),
        ("context", r#"{"n": 1.0e5}"#),
        ("session", "s-1"),
        ("by", " Mira "),
        ("version", "1"),
        ("timeout", "90"),
    ];
    let (first, second) =
        tokio::join!(browser.start(&page, path, &fields), browser.start(&page, path, &fields));
    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(first.location, second.location);
    let kept = db.connect().await;
    let runs = "select agent, version, session_id, input ->> 'prompt', context::text,
                       extract(epoch from deadline - created_at)::double precision, '/execution/' || id,
                       coalesce(input ->> 'requested_by', '')
                  from tenure.executions order by id";
    let row = kept.query_one(runs, &[]).await.unwrap();
    let text = |n: usize| row.get::<_, String>(n);
    assert_eq!(
        [text(0), text(2), text(3), text(4), text(6), text(7)],
        ["librarian", "s-1", "When did\nit appear?", r#"{"n": 1.0e5}"#, first.location.as_str(), "Mira"]
    );
    assert!(row.get::<_, i32>(1) == 1 && (row.get::<_, f64>(5) - 90.0).abs() < 1.0);

    let other = browser.start(&page, path, &[("prompt", "Something else")]).await;
    assert!(other.status == 303 && other.location != first.location, "what was changed is another run");
    let all = kept.query(runs, &[]).await.unwrap();
    assert_eq!(all.iter().map(|row| row.get(1)).collect::<Vec<i32>>(), [1, 2]);

    for headers in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let token = page.between("name=\"token\" value=\"", "\"");
        let request = browser.request("POST", &format!("{path}/start")).header(headers.0, headers.1);
        let refused = browser.send(filled(request, &[("token", &token), ("prompt", "x")])).await;
        assert_eq!(refused.status, 403);
    }
}

#[tokio::test]
async fn a_form_that_can_not_be_obeyed_comes_back_with_what_was_typed() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let browser = Browser::at(&server).await;
    deploy(&server, &agent("writer", "demo/echo", json!([]))).await;
    let page = browser.read("/agents/writer").await;
    let key = page.between("name=\"key\" value=\"", "\"");
    for (fields, says) in [
        (vec![("prompt", "kept <b>")], ""),
        (vec![("prompt", "kept <b>"), ("context", "[1]")], "but no object"),
        (vec![("prompt", "kept <b>"), ("context", "{\"a\": </textarea>")], "not valid JSON"),
        (vec![("prompt", "kept <b>"), ("timeout", "soon")], "a number of seconds"),
        (vec![("prompt", "kept <b>"), ("version", "x")], "Choose one of the versions"),
        (vec![("prompt", "kept <b>"), ("version", "77")], "Version 77 can&#39;t be started"),
        (vec![("prompt", "  "), ("session", "kept <b>")], "Say what the agent should do"),
    ] {
        let answer = browser.start(&page, "/agents/writer", &fields).await;
        if says.is_empty() {
            assert_eq!(answer.status, 303);
            continue;
        }
        assert_eq!(answer.status, 422, "{fields:?}");
        answer.shows("Nothing was started").shows(says).shows("kept &#60;b&#62;").lacks("<b>\"");
        assert_eq!(answer.between("name=\"key\" value=\"", "\""), key, "it is still the same form");
        if let Some((_, context)) = fields.iter().find(|(name, _)| *name == "context") {
            let shown = answer.between("id=\"context\"", "</textarea>");
            assert!(shown.ends_with(&format!(">\n{context}")), "{shown}");
        }
    }
    let nobody = browser.start(&page, "/agents/nobody", &[("prompt", "x")]).await;
    assert_eq!(nobody.status, 404);
    nobody.shows("There is no agent").lacks("textarea");
    let runs = db.connect().await.query_one("select count(*) from tenure.executions", &[]).await.unwrap();
    assert_eq!(runs.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn an_agent_whose_model_is_not_configured_says_so_before_it_is_started() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let browser = Browser::at(&server).await;
    deploy(&server, &agent("keyless", "openai/gpt-4o-mini", json!([]))).await;
    let page = browser.read("/agents/keyless").await;
    page.shows("Model not configured").shows("A run would fail at once: ").shows("OPENAI_API_KEY");
    let started = browser.start(&page, "/agents/keyless", &[("prompt", "x")]).await;
    assert_eq!(started.status, 303);
    browser.read(&started.location).await.shows("OPENAI_API_KEY");
}

#[tokio::test]
async fn what_a_definition_holds_is_text_on_a_page() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let browser = Browser::at(&server).await;
    let evil = "</pre></textarea>'\"><script>alert(1)</script><img src=x onerror=alert(2)>";
    let mut definition = agent("good", "demo/echo", tools([evil]));
    definition["instructions"] = json!(evil);
    definition["model"] = json!(format!("demo/{evil}"));
    definition[evil] = json!(evil);
    definition["tools"][0]["description"] = json!(evil);
    definition["tools"][0]["inputSchema"] = json!({ "type": "object", evil: [evil] });
    definition["outputType"] = json!({ "schema": { evil: evil } });
    deploy(&server, &definition).await;
    let odd = format!("{evil}/a.json?x=1#é %41");
    let sql = db.connect().await;
    for (name, definition) in [(odd.as_str(), definition.to_string()), ("mad", "[1,2]".to_owned())] {
        sql.execute("insert into tenure.agents (name, current) values ($1, 1)", &[&name]).await.unwrap();
        sql.execute(
            "insert into tenure.agent_versions (name, version, checksum, definition) values ($1, 1, $1, $2::text::json)",
            &[&name, &definition],
        )
        .await
        .unwrap();
    }

    let odd_path = format!("/agents/{}", encoded(&odd));
    let list = browser.read("/agents").await;
    assert_eq!(list.names().len(), 3);
    let link =
        list.all_between("data-open href=\"", "\"").into_iter().find(|l| l.contains("%2Ejson")).unwrap();
    browser.read(&link).await.shows("&#60;script&#62;alert(1)").shows(&format!("action=\"{link}/start\""));
    let mad = browser.read("/agents/mad").await;
    mad.shows("This server can't run version 1").shows("Can&#39;t run here");
    let refused = browser.start(&mad, "/agents/mad", &[("prompt", "x")]).await;
    assert_eq!(refused.status, 422);
    let form = browser.read(&odd_path).await;
    let started = browser.start(&form, &odd_path, &[("prompt", evil)]).await;
    assert_eq!(started.status, 303, "a name that can only come from psql can be started all the same");
    let wrong = browser.start(&form, &odd_path, &[("prompt", evil), ("context", evil)]).await;
    let mut pages = vec![list, wrong];
    for path in [
        "/agents/good".to_owned(),
        "/agents/good?diff=1..1".to_owned(),
        format!("/agents/good?version={}", encoded(evil)),
        format!("/agents/good?diff={}", encoded(evil)),
        format!("/agents?q={}", encoded(evil)),
        format!("/agents?after={}&deleted={}", encoded(evil), encoded(evil)),
        "/agents/%00".to_owned(),
        "/agents?q=%00%ff&after=%00".to_owned(),
        odd_path,
    ] {
        pages.push(browser.open(&path).await);
    }
    for page in pages {
        let html = page.html.to_lowercase().replace("<script src=\"/assets/", "");
        for tag in ["<script", "<img", "</pre></textarea", "'\">"] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
        assert!(!page.html.contains(['\u{0}', '\u{100000}']) && !page.html.contains(" style="));
    }
}

#[tokio::test]
async fn what_a_page_shows_is_what_its_statements_say() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let browser = Browser::at(&server).await;
    for n in 0..30 {
        deploy(&server, &agent(&format!("writer-{n:02}"), "demo/echo", json!([]))).await;
    }
    for prompt in ["it's one", "two"] {
        let id = server.start_run(&agent("writer-07", "demo/echo", json!([])), prompt).await;
        server.until(&id, "COMPLETED").await;
    }
    server.delete("/api/agent/writer-29").await;
    let sql = db.connect().await;

    let mut seen = vec![];
    let mut next = Some("/agents".to_owned());
    while let Some(path) = next {
        let page = browser.read(&path).await;
        let says: Vec<_> =
            rows(&sql, &page.statements()[0]).await.into_iter().map(|r| r[0].clone().unwrap()).collect();
        assert_eq!(says, page.names(), "{path}");
        seen.extend(page.names());
        next = page.all_between("rel=\"next\" data-on href=\"", "\"").pop();
    }
    assert_eq!(seen, (0..29).map(|n| format!("writer-{n:02}")).collect::<Vec<_>>());
    for path in ["/agents?q=R-2", "/agents?deleted=1", "/agents?q=it's"] {
        let page = browser.read(path).await;
        assert_eq!(rows(&sql, &page.statements()[0]).await.len(), page.names().len(), "{path}");
    }

    let page = browser.read("/agents/writer-07").await;
    let json = server.get("/agents/writer-07.json").await.ok();
    let statements = page.statements();
    let figures = &rows(&sql, &statements[0]).await[0];
    assert_eq!(figures[..4], ["2", "0", "2", "2"].map(|n| Some(n.to_owned())));
    assert_eq!((&json["runs"][0]["prompt"], &json["completed"]), (&json!("two"), &json!(2)));
    let runs = rows(&sql, &statements[1]).await;
    let ids: Vec<_> = runs.iter().map(|r| r[0].clone().unwrap()).collect();
    assert_eq!(ids, page.all_between("data-open href=\"/execution/", "\""));
    let versions = rows(&sql, &statements[2]).await;
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0][4], Some("2".to_owned()));
    let definition = rows(&sql, &statements[3]).await;
    let stored: Value = serde_json::from_str(definition[0][0].as_ref().unwrap()).unwrap();
    assert_eq!(json["definition"], stored);
}

#[tokio::test]
async fn pages_of_agents_come_in_other_formats() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let id = server.start_run(&agent("writer", "demo/echo", json!([])), "=1+1").await;
    server.until(&id, "COMPLETED").await;
    let json = server.get("/agents.json").await.ok();
    assert_eq!(
        (&json["agents"][0]["name"], &json["agents"][0]["completed"], &json["next"]),
        (&json!("writer"), &json!(1), &Value::Null)
    );
    let csv = server.get("/agents.csv").await;
    assert!(
        csv.content_type.starts_with("text/csv") && csv.text.contains("\nwriter,1,demo/echo,0,1,0,1,1,"),
        "{csv:?}"
    );
    let text = server.get("/agents").await;
    assert!(text.content_type.starts_with("text/plain") && text.text.contains("writer"), "{text:?}");
    let csv = server.get("/agents/writer.csv").await.text;
    assert!(csv.contains(&id) && csv.contains(",'=1+1,"), "{csv}");
    let text = server.get("/agents/writer").await.text;
    assert!(text.contains("RUNS") && text.contains("VERSIONS") && text.contains("demo/echo"), "{text}");
    assert_eq!(server.get("/agents/writer.txt?diff=1..1").await.status, 200);
    assert_eq!(server.get("/agents/nobody.txt").await.status, 404);
    assert!(server.get("/agents/nobody.json").await.refused(404).contains("nobody"));
}

#[tokio::test]
async fn an_open_page_follows_the_runs() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    deploy(&server, &agent("writer", "demo/echo", json!([]))).await;
    let mut stream =
        server.request("GET", "/agents/writer").header("accept", "text/event-stream").send().await.unwrap();
    let mut heard = String::new();
    let mut hear = async |what: &str| {
        while !heard.contains(what) {
            heard += std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap();
        }
    };
    hear("It has not run yet").await;
    let id = server.start_run(&agent("writer", "demo/echo", json!([])), "Hello").await;
    hear(&format!("/execution/{id}")).await;
}

#[tokio::test]
async fn an_agent_with_very_many_runs_costs_what_its_newest_ones_cost() {
    let db = TestDb::new().await;
    let sql = db.connect().await;
    sql.batch_execute(
        "insert into tenure.agents (name, current) values ('busy', 1), ('calm', 1);
         insert into tenure.agent_versions (name, version, checksum, definition)
         values ('busy', 1, 'a', '{\"model\":\"demo/echo\"}'), ('calm', 1, 'b', '{}');
         insert into tenure.executions (id, agent, version, status, input, context, created_at, ended_at)
         select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, case when n % 100 = 0 then 'calm' else 'busy' end, 1,
                case when n % 10 = 0 then 'failed' else 'completed' end, '{\"prompt\":\"x\"}', '{}', now(), now() + interval '3 s'
           from generate_series(1, 100000) n;
         insert into tenure.events (execution_id, seq, kind, at, state)
         select id, 1, status, ended_at, '{\"turn\":2,\"prompt_tokens\":10,\"completion_tokens\":5}' from tenure.executions;
         analyze tenure.executions",
    )
    .await
    .unwrap();
    let server = Server::start(&db).await;
    let all = server.get("/agents.json").await.ok();
    for (n, name) in ["busy", "calm"].iter().enumerate() {
        let line = &all["agents"][n];
        let found = (&line["name"], &line["runs"], &line["tokens"], &line["median_secs"]);
        assert_eq!(found, (&json!(name), &json!(200), &json!(3000), &json!(3.0)));
    }
    let busy = server.get("/agents/busy.json").await.ok();
    assert_eq!((&busy["ended"], &busy["versions"][0]["runs"]), (&json!(1000), &json!(1000)));
    assert_eq!(busy["runs"].as_array().unwrap().len(), 20);
    assert_eq!(busy["completed"], busy["versions"][0]["completed"]);

    for query in [
        "select * from tenure.agent_summary where name > '' order by name limit 25",
        "select * from tenure.agent_figures('busy', 1000)",
    ] {
        let plan =
            sql.query_one(&format!("explain (analyze, buffers, format json) {query}"), &[]).await.unwrap();
        let plan: Value = plan.get(0);
        let read = &plan[0]["Plan"];
        let blocks =
            read["Shared Hit Blocks"].as_i64().unwrap() + read["Shared Read Blocks"].as_i64().unwrap();
        // The newest event of each run is looked up: some four blocks.
        assert!(blocks < 6000, "{blocks} blocks of a table of 100,000 runs: {plan:#}");
    }
}
