//! The pages of one run: each view, every moment of its past, runs of any length, payloads of any size.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{Answer, Http, Server, TestDb, agent, calls, eventually, says, script, tools};

const LISTS: [&str; 4] = ["conversation", "events", "attempts", "logs"];
const DOCUMENTS: [&str; 3] = ["state", "payloads", "agent"];
/// Most bytes of a page.
const HEAVIEST: usize = 300_000;

/// What a browser gets.
async fn open(server: &Http, path: &str) -> Answer {
    Http::send(server.request("GET", path).header("accept", "text/html")).await
}

/// A page that must be one.
async fn page(server: &Http, path: &str) -> String {
    let answer = open(server, path).await;
    assert_eq!((answer.status, &*answer.content_type), (200, "text/html; charset=utf-8"), "{path}");
    assert!(answer.text.len() < HEAVIEST, "{path} has {} bytes", answer.text.len());
    answer.text
}

fn views() -> impl Iterator<Item = String> {
    std::iter::once(String::new()).chain(LISTS.iter().chain(&DOCUMENTS).map(|view| format!("/{view}")))
}

/// A run with a tool that fails once and logs.
async fn told(server: &Server) -> String {
    server.register("lookup", &json!({})).await;
    let model =
        script(&[calls(["lookup"]), says("# Found\n\nIt **appeared** in [1859](https://a.example).")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When did it appear?").await;
    let task = server.take("lookup").await;
    let logs = json!([{ "log": "looking", "createdTime": 1_800_000_000_000_i64 }, { "log": "<b>found</b>" }]);
    server.report(&task, "FAILED", &json!({ "reasonForIncompletion": "too slow", "logs": logs })).await;
    let task = server.take("lookup").await;
    server.complete(&task, &json!({ "year": 1859 })).await;
    server.until(&id, "COMPLETED").await;
    id
}

#[tokio::test]
async fn each_view_has_an_address_and_answers_programs_too() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let id = told(&server).await;
    for (view, shows) in [
        ("", "Turn 2"),
        ("/conversation", "<h3>Found</h3>"),
        ("/events", "again in"),
        ("/attempts", "too slow"),
        ("/state", "turn_limit"),
        ("/payloads", "When did it appear?"),
        ("/agent", "href=\"/agents/librarian\""),
        ("/logs", "&#60;b&#62;found&#60;/b&#62;"),
    ] {
        let path = format!("/execution/{id}{view}");
        let html = page(&server, &path).await;
        for text in [shows, "aria-current=\"page\"", "of that", "This page in psql", "tenure agent status"] {
            assert!(html.contains(text), "no {text:?} in {path}: {html}");
        }
        let facts = server.get(&format!("{path}.json")).await.ok();
        assert_eq!(facts["id"], json!(id), "{path}");
        assert!(server.get(&format!("{path}.txt")).await.text.contains(&id), "{path}");
        let csv = server.get(&format!("{path}.csv")).await;
        let is_list = !DOCUMENTS.iter().any(|d| view.ends_with(d));
        assert_eq!(csv.status, if is_list { 200 } else { 406 }, "{path}: {}", csv.text);
        assert_eq!(server.get(&path).await.content_type, "text/plain; charset=utf-8");
    }
    let raw = page(&server, &format!("/execution/{id}/conversation?raw=1")).await;
    assert!(raw.contains("# Found") && !raw.contains("<h3>Found</h3>"));
    let readable = page(&server, &format!("/execution/{id}")).await;
    assert!(
        readable
            .contains("<a class=\"link\" rel=\"noopener nofollow noreferrer\" href=\"https://a.example\">")
    );
    assert!(open(&server, &format!("/execution/{id}/nothing")).await.text.contains("conversation, events"));
    let lost = open(&server, &format!("/execution/{id}/nothing")).await;
    assert_eq!(lost.status, 404);
}

#[tokio::test]
async fn the_selected_step_stays_selected_wherever_one_goes() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let id = told(&server).await;
    let path = format!("/execution/{id}?step=tool-1-0");
    for (show, shows) in [
        ("", "&#34;for&#34;"),
        ("&show=output", "<span class=\"n\">1859</span>"),
        ("&show=tries", "Failed, tried again"),
        ("&show=raw", "{&#34;year&#34;:1859}"),
    ] {
        let html = page(&server, &format!("{path}{show}")).await;
        assert!(
            html.contains("aria-label=\"Selected step\"") && html.contains(shows),
            "{show}: no {shows} in {html}"
        );
        assert!(html.contains("href=\"/queues?queue=lookup\"") && html.contains("__1</dd>"), "{show}");
        assert!(html.contains("/events?step=tool-1-0"), "{show}: other views keep the step");
        assert!(html.contains(&format!("/execution/{id}?at=3&#38;step=tool-1-0")), "{show}: {html}");
    }
    let then = page(&server, &format!("{path}&at=4&show=output")).await;
    assert!(then.contains("It has not ended yet") && then.contains("As it was after event 4 of 9"), "{then}");
    assert!(then.contains(&format!("/execution/{id}/attempts?at=4&#38;step=tool-1-0")));
}

/// What a run looks like to programs: the frame's facts and all of its attempts, without what only the present knows.
async fn looks(server: &Http, id: &str, at: Option<i64>) -> (Value, Vec<Value>) {
    let query = at.map_or(String::new(), |n| format!("?at={n}"));
    let mut run = server.get(&format!("/execution/{id}.json{query}")).await.ok();
    let mut attempts = run["attempts"].take();
    let keys =
        ["status", "reason", "turn", "events", "messages", "prompt_tokens", "completion_tokens", "agent"];
    let facts = keys.map(|key| (key.to_owned(), run[key].clone())).into_iter().collect();
    for attempt in attempts.as_array_mut().unwrap() {
        if attempt["status"] == "deferred" {
            attempt["status"] = json!("ready");
        }
    }
    (Value::Object(facts), attempts.as_array().unwrap().clone())
}

/// The same, when nothing goes on by itself.
async fn still(server: &Http, id: &str, is: impl Fn(&Value) -> bool) -> (Value, Vec<Value>) {
    eventually("the run stands still", async || {
        let (before, after) = (looks(server, id, None).await, looks(server, id, None).await);
        (before == after && is(&after.0)).then_some(after)
    })
    .await
}

#[tokio::test]
async fn the_past_is_what_was_true_then() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    server.register("lookup", &json!({})).await;
    server.register("count", &json!({})).await;
    let model = script(&[calls(["lookup", "count", "nobody"]), calls(["lookup"]), says("Done.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup", "count"])), "When?").await;
    let mut seen = vec![];
    let waits = |facts: &Value| facts["status"] == "running";
    let first = server.take("lookup").await;
    let count = server.take("count").await;
    seen.push(still(&server, &id, waits).await);
    server.report(&first, "FAILED", &json!({ "reasonForIncompletion": "slow" })).await;
    seen.push(still(&server, &id, waits).await);
    server.put(&format!("/api/agent/{id}/pause"), &json!({})).await;
    seen.push(still(&server, &id, |facts| facts["status"] == "paused").await);
    server.put(&format!("/api/agent/{id}/resume"), &json!({})).await;
    let again = server.take("lookup").await;
    seen.push(still(&server, &id, waits).await);
    server.complete(&again, &json!({ "n": 1 })).await;
    seen.push(still(&server, &id, waits).await);
    server.complete(&count, &json!({ "n": 2 })).await;
    server.take("lookup").await;
    seen.push(still(&server, &id, |facts| facts["turn"] == 2).await);
    server.delete(&format!("/api/agent/{id}/cancel?reason=enough")).await;
    seen.push(still(&server, &id, |facts| facts["status"] == "terminated").await);

    for then in &seen {
        let n = then.0["events"].as_i64().unwrap();
        assert_eq!(&looks(&server, &id, Some(n)).await, then, "after event {n}");
    }
    let paused = seen[2].0["events"].as_i64().unwrap();
    let html = page(&server, &format!("/execution/{id}?at={paused}")).await;
    assert!(html.contains("Paused") && !html.contains("name=\"reason\""), "what was takes no action");
    tell_again(&server, &id).await;
}

/// Follow the events one by one and compare every moment with what they say.
async fn tell_again(server: &Http, id: &str) {
    let events = server.get(&format!("/execution/{id}/events.json")).await.ok();
    let events = events["events"].as_array().unwrap();
    let (mut status, mut turn, mut messages) = ("running", 0, 0);
    let mut open: i64 = 0;
    for event in events {
        let n = event["seq"].as_i64().unwrap();
        match event["kind"].as_str().unwrap() {
            "started" | "call_refused" => messages += 1,
            "model_called" => {
                turn += 1;
                open += 1;
            }
            "tool_called" => open += 1,
            "model_replied" | "tool_returned" | "tool_failed" => {
                messages += 1;
                open -= 1;
            }
            "attempt_failed" => {}
            "paused" => status = "paused",
            "resumed" => status = "running",
            "terminated" => {
                status = "terminated";
                open = 0;
            }
            other => panic!("{other} was not expected"),
        }
        let (facts, attempts) = looks(server, id, Some(n)).await;
        let still_open = attempts.iter().filter(|a| a["ended_at"].is_null()).count();
        assert_eq!(
            (
                facts["status"].as_str().unwrap(),
                facts["turn"].as_i64(),
                facts["messages"].as_i64(),
                still_open
            ),
            (status, Some(turn), Some(messages), usize::try_from(open).unwrap()),
            "after event {n}: {event}"
        );
        let listed = server.get(&format!("/execution/{id}/conversation.json?at={n}")).await.ok();
        assert_eq!(listed["messages"].as_array().unwrap().len(), usize::try_from(messages).unwrap());
        let listed = server.get(&format!("/execution/{id}/events.json?at={n}")).await.ok();
        assert_eq!(listed["events"].as_array().unwrap().last(), Some(event));
        page(server, &format!("/execution/{id}?at={n}&step=tool-1-0")).await;
    }
}

#[tokio::test]
async fn an_event_that_is_none_is_refused_with_the_numbers_that_are() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let id = server.start_run(&agent("librarian", &script(&[says("Done.")]), json!([])), "When?").await;
    server.until(&id, "COMPLETED").await;
    for n in ["0", "-1", "5", "x", "1.5", "%00", "99999999999999999999", "2147483648"] {
        for view in views() {
            let message = server.get(&format!("/execution/{id}{view}.json?at={n}")).await.refused(400);
            assert!(message.contains("4 events; at can be 1 to 4"), "{message}");
        }
    }
    for wrong in [
        "events?before=x",
        "conversation?before=0",
        "attempts?before=7",
        "logs?before=7",
        "logs?attempt=7",
        "attempts?before=%00",
    ] {
        assert_eq!(open(&server, &format!("/execution/{id}/{wrong}")).await.status, 400, "{wrong}");
    }
    for odd in ["events?before=1", "events?before=2147483647", "conversation?before=1"] {
        page(&server, &format!("/execution/{id}/{odd}")).await;
    }
}

/// Store a run of `turns` turns, each with a tool call; four events a turn, and two more.
async fn a_long_run(client: &Client, turns: i32) -> String {
    let id = "01a1fcfa-0000-7000-8000-000000000001".to_owned();
    let last = turns * 4 + 2;
    // Ids sort by time, so the turn leads in them.
    let attempt = |kind: u8| {
        format!("('01a1' || lpad(to_hex(g.t), 4, '0') || '-{kind:04}-7000-8000-000000000000')::uuid")
    };
    let (model, tool) = (attempt(1), attempt(2));
    client
        .batch_execute(&format!(
            "insert into tenure.agents (name, current) values ('long', 1);
             insert into tenure.agent_versions (name, version, checksum, definition) values ('long', 1, 'c', '{{}}');
             insert into tenure.queues (name) values ('model'), ('lookup') on conflict do nothing;
             insert into tenure.executions (id, agent, version, status, input, context, output, created_at, ended_at)
             values ('{id}', 'long', 1, 'completed', '{{\"prompt\":\"a long story\"}}',
                     '{{}}', '{{\"result\":\"the end\"}}', now() - interval '1 day', now() - interval '1 day' + {turns} * interval '4 s');
             insert into tenure.tasks (execution_id, id, kind, turn, attempt, name, call_id, queue_id, input, created_at)
             select '{id}'::uuid, {model}, 'model', g.t, 1, 'demo/long', null, (select id from tenure.queues where name = 'model'), '{{}}'::json, now() - interval '1 day' + (g.t * 4 - 4) * interval '1 s' from generate_series(1, {turns}) g(t)
             union all
             select '{id}'::uuid, {tool}, 'tool', g.t, 1, 'lookup', 'call', (select id from tenure.queues where name = 'lookup'), '{{\"n\":1}}'::json, now() - interval '1 day' + (g.t * 4 - 2) * interval '1 s' from generate_series(1, {turns}) g(t);
             insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, output, worker, started_at, ended_at, prompt_tokens, completion_tokens)
             select execution_id, id, kind, turn, call, 'completed',
                    case kind when 'model' then '{{\"text\":\"going **on**\",\"calls\":[{{\"name\":\"lookup\",\"arguments\":{{}}}}]}}' else '{{\"found\":[1,2,3]}}' end::json,
                    'w-1', created_at + interval '0.1 s', created_at + interval '2 s', case kind when 'model' then 10 end, case kind when 'model' then 5 end
               from tenure.tasks where execution_id = '{id}';
             insert into tenure.events (execution_id, seq, kind, attempt_id, data, at, state)
             select '{id}'::uuid, 1, 'started', null, null, now() - interval '1 day', null::json
             union all
             select '{id}'::uuid, g.t * 4 - 2 + e.n, e.kind, case when e.n < 2 then {model} else {tool} end,
                    case e.kind when 'model_called' then json_build_object('turn', g.t) end,
                    now() - interval '1 day' + (g.t * 4 - 4 + e.s) * interval '1 s', null
               from generate_series(1, {turns}) g(t),
                    (values (0, 'model_called', 0), (1, 'model_replied', 2), (2, 'tool_called', 2), (3, 'tool_returned', 4)) e(n, kind, s)
             union all
             select '{id}'::uuid, {last}, 'completed', null, null, now() - interval '1 day' + {turns} * interval '4 s',
                    '{{\"status\":\"completed\",\"turn\":{turns},\"messages\":{messages}}}';
             insert into tenure.messages (execution_id, n, role, turn, attempt_id, at)
             select '{id}'::uuid, 1, 'user', 1, null, now() - interval '1 day'
             union all
             select '{id}'::uuid, g.t * 2, 'assistant', g.t, {model}, now() - interval '1 day' + (g.t * 4 - 2) * interval '1 s' from generate_series(1, {turns}) g(t)
             union all
             select '{id}'::uuid, g.t * 2 + 1, 'tool', g.t, {tool}, now() - interval '1 day' + g.t * interval '4 s' from generate_series(1, {turns}) g(t);
             insert into tenure.task_logs (execution_id, attempt_id, line)
             select '{id}'::uuid, {tool}, 'line ' || g.t || ' ' || l from generate_series(1, {turns}) g(t), generate_series(1, 4) l;
             analyze tenure.events, tenure.tasks, tenure.results, tenure.messages, tenure.task_logs",
            messages = turns * 2 + 1,
        ))
        .await
        .unwrap();
    id
}

#[tokio::test]
async fn a_run_of_twenty_thousand_events_has_small_pages_that_come_at_once() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let id = a_long_run(&db.connect().await, 5_000).await;
    let mut paths: Vec<_> = views().map(|view| format!("/execution/{id}{view}")).collect();
    for n in [1, 2, 9_999, 20_002] {
        paths.extend(views().map(|view| format!("/execution/{id}{view}?at={n}")));
    }
    paths.push(format!("/execution/{id}?turn=4900&step=tool-4900-0&show=output"));
    paths.push(format!("/execution/{id}?step=tool-3-0"));
    paths.push(format!("/execution/{id}?at=4000&step=tool-999-0"));
    for path in paths {
        page(&server, &path).await;
        let began = Instant::now();
        let html = page(&server, &path).await;
        println!("{:>4} ms {:>7} bytes {path}", began.elapsed().as_millis(), html.len());
        // Far above what it takes: a build for tests on a machine that runs many of them.
        assert!(began.elapsed() < Duration::from_secs(2), "{path} took {:?}", began.elapsed());
    }
    let now = page(&server, &format!("/execution/{id}")).await;
    assert!(now.contains("event <b>20002</b> of 20002") && now.contains("Only the newest attempts"), "{now}");
    let then = page(&server, &format!("/execution/{id}?at=9999")).await;
    assert!(
        then.contains("event <b>9999</b> of 20002")
            && then.contains("Turn 2500")
            && !then.contains("Turn 2501")
    );
}

#[tokio::test]
async fn every_row_of_a_long_list_is_on_one_of_its_pages() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let id = a_long_run(&db.connect().await, 120).await;
    for (view, key, at, expected) in [
        ("events", "seq", "", 482),
        ("conversation", "n", "", 241),
        ("attempts", "attempt_id", "", 240),
        ("logs", "n", "", 480),
        ("events", "seq", "?at=300", 300),
        ("conversation", "n", "?at=300", 150),
        ("attempts", "attempt_id", "?at=300", 150),
    ] {
        let mut seen = vec![];
        let mut next = Some(format!("/execution/{id}/{view}.json{at}"));
        while let Some(path) = next {
            let json = server.get(&path).await.ok();
            let name = if view == "conversation" {
                "messages"
            } else if view == "logs" {
                "lines"
            } else {
                view
            };
            let rows = json[name].as_array().unwrap();
            assert!(!rows.is_empty(), "{path}");
            seen.extend(rows.iter().map(|row| row[key].to_string()));
            next = json["next"].as_str().map(str::to_owned);
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((all, seen.len()), (expected, expected), "{view}{at}");
    }
}

#[tokio::test]
async fn an_output_of_a_hundred_megabytes_travels_only_when_it_is_downloaded() {
    const SIZE: usize = 100_000_002;
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let client = db.connect().await;
    let id = a_long_run(&client, 2).await;
    // What no compression makes small.
    client
        .batch_execute(&format!(
            "create temporary table wide as select ('\"' || string_agg(md5(i::text), '') || '\"')::json as j from generate_series(1, 3125000) i;
             alter table tenure.executions disable trigger what_has_ended_stays;
             update tenure.executions set output = (select j from wide), input = (select j from wide) where id = '{id}';
             alter table tenure.executions enable trigger what_has_ended_stays;
             update tenure.results set output = (select j from wide) where execution_id = '{id}' and turn = 2"
        ))
        .await
        .unwrap();
    for view in views().chain(["?step=tool-2-0&show=output".into(), "?step=model-2-0&show=raw".into()]) {
        let path = format!("/execution/{id}{view}");
        page(&server, &path).await;
        let began = Instant::now();
        let html = page(&server, &path).await;
        println!("{:>4} ms {:>7} bytes {path}", began.elapsed().as_millis(), html.len());
        assert!(began.elapsed() < Duration::from_secs(5), "{path}: {:?}", began.elapsed());
    }
    let html = page(&server, &format!("/execution/{id}/payloads")).await;
    assert!(html.contains("95.4 MB") && html.contains("Only the beginning is shown"));
    let json = server.get(&format!("/execution/{id}/attempts.json")).await.ok();
    let attempt = json["attempts"][0]["attempt_id"].as_str().unwrap();
    for path in
        [format!("/execution/{id}/payload/output"), format!("/execution/{id}/attempt/{attempt}/output")]
    {
        let answer = server.request("GET", &path).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert!(
            answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment; filename=")
        );
        let bytes = answer.bytes().await.unwrap();
        assert_eq!((bytes.len(), bytes[0], bytes[SIZE - 1]), (SIZE, b'"', b'"'), "{path}");
        assert_eq!(&bytes[1..33], b"c4ca4238a0b923820dcc509a6f75849b", "{path}");
    }
}

#[tokio::test]
async fn payloads_are_downloaded_as_they_were_sent() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says("Done.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When?").await;
    let task = server.take("lookup").await;
    let running = format!("/execution/{id}/payload/output");
    let early = server.get(&running).await;
    assert!(early.status == 404 && early.text.contains("There is no such payload yet"), "{early:?}");
    let sent = r#"{"z":1e2,"a":-0,"nul":"\u0000","odd":"\uD800","private":"􀀀"}"#;
    let report = format!(
        r#"{{"workflowInstanceId":"{id}","taskId":"{}","workerId":"w","status":"COMPLETED","outputData":{sent}}}"#,
        task["taskId"].as_str().unwrap()
    );
    assert_eq!(server.post_bytes("/api/tasks", report).await.status, 200);
    server.until(&id, "COMPLETED").await;
    let attempt = task["taskId"].as_str().unwrap();
    let output = server.get(&format!("/execution/{id}/attempt/{attempt}/output")).await;
    assert_eq!(output.text, sent);
    assert_eq!(server.get(&format!("/execution/{id}/attempt/{attempt}/input")).await.json()["for"], "lookup");
    assert_eq!(server.get(&running).await.json()["result"], "Done.");
    assert_eq!(server.get(&format!("/execution/{id}/payload/input")).await.json()["prompt"], "When?");
    assert_eq!(server.get(&format!("/execution/{id}/payload/context")).await.status, 200);
    for missing in
        ["payload/x", "attempt/x/output", &format!("attempt/{id}/output"), &format!("attempt/{attempt}/x")]
    {
        assert_eq!(open(&server, &format!("/execution/{id}/{missing}")).await.status, 404, "{missing}");
    }
}

#[tokio::test]
async fn a_page_agrees_with_itself_while_the_run_grows() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let turns: Vec<_> =
        (0..20).map(|_| calls(["lookup", "lookup", "lookup"])).chain([says("Done.")]).collect();
    let id = server.start_run(&agent("librarian", &script(&turns), tools(["lookup"])), "When?").await;
    let work = async {
        for _ in 0..60 {
            let task = server.take("lookup").await;
            server.complete(&task, &json!({ "n": 1 })).await;
        }
        server.until(&id, "COMPLETED").await;
    };
    let look = async {
        let mut sizes = vec![];
        loop {
            let run = server.get(&format!("/execution/{id}.json")).await.ok();
            let listed = run["attempts"].as_array().unwrap().len();
            assert_eq!(run["attempts"].as_array().map(Vec::len), Some(listed));
            let html = page(&server, &format!("/execution/{id}")).await;
            let (_, rest) = html.split_once("event <b>").unwrap();
            let (event, rest) = rest.split_once("</b> of ").unwrap();
            let all = rest.split('<').next().unwrap();
            assert_eq!(event, all);
            assert!(html.contains(&format!("Events<span class=\"n\">{all}</span>")), "{html}");
            assert_eq!(html.matches("<title>event ").count(), all.parse::<usize>().unwrap().min(60));
            sizes.push(all.to_owned());
            if run["status"] == "completed" {
                return sizes;
            }
        }
    };
    let ((), mut sizes) = tokio::join!(work, look);
    sizes.dedup();
    assert!(sizes.len() > 3, "it has grown while it was read: {sizes:?}");
}

/// Rows of a statement, as text.
async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("{e:?}: {sql}"));
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

#[tokio::test]
async fn what_a_page_prints_shows_the_same_in_psql() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let id = told(&server).await;
    let client = db.connect().await;
    let mut seen = 0;
    for at in ["", "?at=6"] {
        for view in views() {
            let path = format!("/execution/{id}{view}{at}");
            let html = page(&server, &path).await;
            let statements: Vec<_> = html
                .split("data-statement>")
                .skip(1)
                .map(|s| s.split("</pre>").next().unwrap())
                .map(|s| {
                    s.replace("&#39;", "'").replace("&#62;", ">").replace("&#60;", "<").replace("&#38;", "&")
                })
                .collect();
            assert!(statements.len() >= 2, "{path}");
            for statement in &statements {
                rows(&client, statement).await;
                seen += 1;
            }
            let json = server.get(&format!("/execution/{id}{view}.json{at}")).await.ok();
            let (list, key, column) = match view.as_str() {
                "" | "/attempts" => ("attempts", "attempt_id", 1),
                "/events" => ("events", "what", 3),
                "/conversation" => ("messages", "text", 5),
                "/logs" => ("lines", "line", 3),
                _ => continue,
            };
            let printed = rows(&client, &statements[0]).await;
            let shown: Vec<_> = json[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row[key].as_str().map(str::to_owned))
                .collect();
            assert_eq!(
                printed.into_iter().map(|row| row[column].clone()).collect::<Vec<_>>(),
                shown,
                "{path}"
            );
        }
    }
    assert!(seen > 30, "only {seen} statements were printed");
}

#[tokio::test]
async fn an_open_page_follows_the_run() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says("Done.")]);
    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When?").await;
    let task = server.take("lookup").await;
    for view in ["?step=tool-1-0&show=output", "/conversation", "/events", "/attempts"] {
        let html = page(&server, &format!("/execution/{id}{view}")).await;
        assert!(
            html.contains(&format!("data-live=\"/execution/{id}{}", view.replace('&', "&#38;"))),
            "{view}: {html}"
        );
    }
    let stream = server.request("GET", &format!("/execution/{id}?step=tool-1-0&show=output"));
    let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
    let mut heard = String::new();
    let mut told = false;
    while !heard.contains("As it was sent 1859") || !heard.contains("Completed") {
        let part = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await.expect("parts come");
        heard.push_str(std::str::from_utf8(&part.unwrap().expect("the stream goes on")).unwrap());
        if !told && heard.contains("event: drawn") {
            told = true;
            server.complete(&task, &json!({ "note": "As it was sent 1859" })).await;
        }
    }
    for part in ["head", "why", "tabs", "timeline", "step", "conversation"] {
        assert!(heard.contains(&format!("\"id\":\"{part}\"")), "no part {part} in {heard}");
    }
    let then = page(&server, &format!("/execution/{id}?at=2")).await;
    assert!(!then.contains("data-live"), "the past does not change");
}
