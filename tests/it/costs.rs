//! What runs cost: prices with dates, what has none, and everywhere that it is shown.

use serde_json::{Value, json};
use tokio_postgres::Client;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use crate::harness::{Http, Server, TestDb, agent, calls, eventually, says, script, tenure, tools};

/// A provider that counts tokens: `usage` for every answer.
async fn provider(usage: Value) -> MockServer {
    let provider = MockServer::start().await;
    let message = json!({ "role": "assistant", "content": "Done." });
    let answer = json!({
        "id": "chatcmpl-1", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }], "usage": usage,
    });
    let answer = ResponseTemplate::new(200).set_body_json(answer);
    Mock::given(method("POST")).respond_with(answer).mount(&provider).await;
    provider
}

async fn server(db: &TestDb, provider: &MockServer) -> Server {
    let base = format!("{}/v1", provider.uri());
    Server::with(db, move |command| {
        command.env("OPENAI_API_KEY", "sk-test").env("OPENAI_BASE_URL", &base);
    })
    .await
}

/// 600 tokens read, 400 more from the cache, 100 written.
fn some() -> Value {
    json!({
        "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
        "prompt_tokens_details": { "cached_tokens": 400 },
    })
}

/// A run of this model that has ended; its id.
async fn ran(server: &Server, name: &str, model: &str) -> String {
    let id = server.start_run(&agent(name, model, json!([])), "Go.").await;
    server.until(&id, "COMPLETED").await;
    id
}

async fn set(http: &Http, price: Value) -> Value {
    http.post("/api/prices", &price).await.ok()
}

fn price(model: &str, prompt: &str, completion: &str) -> Value {
    json!({ "model": model, "currency": "USD", "prompt": prompt, "completion": completion, "from": "2020-01-01" })
}

async fn cost(http: &Http, id: &str) -> Value {
    http.get(&format!("/api/executions/{id}/cost")).await.ok()
}

/// A page as a browser gets it.
async fn page(http: &Http, path: &str) -> String {
    let page = Http::send(http.request("GET", path).header("accept", "text/html")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    page.text
}

#[track_caller]
fn shows(page: &str, text: &str) {
    assert!(page.contains(text), "no {text:?} in {page}");
}

#[tokio::test]
async fn a_run_costs_the_same_wherever_one_looks() {
    let (database, provider) = (TestDb::new().await, provider(some()).await);
    let server = server(&database, &provider).await;
    let dear = json!({
        "model": "openai/gpt-x", "currency": "usd", "prompt": 2.5, "completion": "10", "cached": "0.5", "from": "2020-01-01",
    });
    set(&server, dear).await;
    let id = ran(&server, "spender", "openai/gpt-x").await;

    // 600 × 2.50 + 400 × 0.50 + 100 × 10, per million.
    let sum = json!([{ "currency": "USD", "cost": "0.0027" }]);
    let of_run = cost(&server, &id).await;
    assert_eq!(
        (&of_run["costs"], &of_run["pricedCalls"], &of_run["unpricedCalls"]),
        (&sum, &json!(1), &json!(0))
    );

    for (path, list) in [("/executions.json", "executions"), ("/agents/spender.json", "runs")] {
        let line = server.get(path).await.ok()[list][0].clone();
        assert_eq!(
            (&line["cost"], &line["currency"], &line["unpriced_calls"]),
            (&json!(0.0027), &json!("USD"), &json!(0))
        );
    }
    let run = server.get(&format!("/execution/{id}.json")).await.ok();
    assert_eq!((&run["cost"], &run["currency"]), (&json!(0.0027), &json!("USD")));
    assert_eq!(run["attempts"][0]["cost"], json!(0.0027));
    let agent = server.get("/agents/spender.json").await.ok();
    assert_eq!(agent["cost"], json!(0.0027));
    let csv = server.get("/executions.csv").await.text;
    assert!(csv.lines().nth(1).unwrap().ends_with(",0.0027,USD,0"), "{csv}");

    for path in [
        "/executions",
        &format!("/execution/{id}"),
        "/agents/spender",
        "/costs",
        "/costs?by=agent",
        "/costs?by=model",
    ] {
        shows(&page(&server, path).await, "$0.0027");
    }
    for (by, what) in [("agent", "spender"), ("model", "openai/gpt-x")] {
        let spent = server.get(&format!("/api/costs?by={by}&days=1")).await.ok();
        let row = &spent["spent"][0];
        assert_eq!(
            (&row[by], &row["cost"], &row["cachedTokens"]),
            (&json!(what), &json!("0.0027"), &json!(400))
        );
    }
    let run = |args: &[&str]| {
        let output = tenure(args).args(["--server", server.base()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&["cost", &id]), "0.0027 USD  for 1 model calls\n");
    shows(&run(&["cost", "--by", "agent"]), "0.0027 USD");
    shows(&run(&["prices", "list"]), "openai/gpt-x");

    let db = database.connect().await;
    for view in ["cost_by_run", "cost_by_agent", "cost_by_day", "model_call"] {
        let row =
            db.query_one(&format!("select cost::text, currency from tenure.{view}"), &[]).await.unwrap();
        let (cost, currency): (String, String) = (row.get(0), row.get(1));
        assert_eq!((cost.parse(), &*currency), (Ok(0.0027), "USD"), "{view}");
    }
}

#[tokio::test]
async fn a_price_that_is_not_known_is_said_and_counts_from_its_date_once_it_is() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[says("Done.")]);
    let id = ran(&server, "unknown", &model).await;

    let of_run = cost(&server, &id).await;
    assert_eq!((&of_run["costs"], &of_run["unpricedCalls"]), (&json!([]), &json!(1)));
    let line = server.get("/executions.json").await.ok()["executions"][0].clone();
    assert_eq!(
        (&line["cost"], &line["currency"], &line["unpriced_calls"]),
        (&Value::Null, &Value::Null, &json!(1))
    );
    for path in ["/executions", &format!("/execution/{id}"), "/agents/unknown", "/costs?by=agent"] {
        shows(&page(&server, path).await, "no price");
    }

    // From now on: nothing before it changes.
    set(&server, json!({ "model": model, "currency": "USD", "prompt": 1, "completion": 1 })).await;
    assert_eq!(cost(&server, &id).await["costs"], json!([]));
    let later = ran(&server, "unknown", &model).await;
    let known = cost(&server, &later).await;
    assert_eq!((known["costs"][0]["currency"].as_str(), &known["unpricedCalls"]), (Some("USD"), &json!(0)));

    // A family's price with an older date covers what the model's own does not.
    set(&server, price("demo/*", "1000000", "0")).await;
    let tokens = server.get(&format!("/execution/{id}.json")).await.ok()["prompt_tokens"].clone();
    assert_eq!(cost(&server, &id).await["costs"][0]["cost"], json!(tokens.to_string()));
    assert_eq!(cost(&server, &later).await, known, "its own price comes first");
}

/// Set prices so that the first call of a run has one and the second another.
async fn two_prices(db: &Client, id: &str, second: &str) {
    let sql = format!(
        "insert into tenure.prices (model, currency, prompt, completion, valid_from, set_by)
         select t.name, v.currency, 0, 1000000, case v.nth when 1 then '2020-01-01' else max(r.ended_at) end, 'test'
           from tenure.results r join tenure.tasks t on t.id = r.attempt_id and t.execution_id = r.execution_id
          cross join (values (1, 'USD'), (2, '{second}')) as v (nth, currency)
          where r.execution_id = '{id}' and r.kind = 'model' group by t.name, v.nth, v.currency"
    );
    assert_eq!(db.execute(&sql, &[]).await.unwrap(), 2);
}

#[tokio::test]
async fn each_call_has_the_price_of_its_time_and_currencies_are_not_added_up() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["step"]), says("Done.")]);
    let id = server.start_run(&agent("a", &model, tools(["step"])), "Go.").await;
    let task = server.take("step").await;
    server.complete(&task, &json!({})).await;
    server.until(&id, "COMPLETED").await;
    let db = database.connect().await;
    two_prices(&db, &id, "EUR").await;

    let steps = server.get(&format!("/execution/{id}/attempts.json")).await.ok();
    let of = |turn: i64| {
        let steps = steps["attempts"].as_array().unwrap();
        let step = steps.iter().find(|s| s["kind"] == "model" && s["turn"] == turn).unwrap();
        (step["completion_tokens"].to_string(), step["currency"].as_str().unwrap().to_owned())
    };
    let [first, second] = [of(1), of(2)];
    assert_eq!((&*first.1, &*second.1), ("USD", "EUR"));
    let sums = json!([{ "currency": "EUR", "cost": second.0 }, { "currency": "USD", "cost": first.0 }]);
    assert_eq!(cost(&server, &id).await["costs"], sums);
    shows(&page(&server, "/executions").await, &format!("€{}.00 + ${}.00", second.0, first.0));
    let line = server.get("/executions.json").await.ok()["executions"][0].clone();
    assert_eq!(
        (line["currency"].as_str(), line["cost"].as_str().unwrap()),
        (Some("mixed"), &*format!("{} EUR and {} USD", second.0, first.0))
    );
    shows(&page(&server, "/costs").await, &format!("€{}.00", second.0));

    // Half of it unknown: a lower limit.
    db.batch_execute("delete from tenure.prices where currency = 'EUR'; update tenure.prices set valid_until = (select min(ended_at) + interval '1 us' from tenure.results where kind = 'model')").await.unwrap();
    shows(&page(&server, "/executions").await, &format!("≥ ${}.00", first.0));
    let of_run = cost(&server, &id).await;
    assert_eq!((&of_run["pricedCalls"], &of_run["unpricedCalls"]), (&json!(1), &json!(1)));

    // What is a copy of another run's answer costs nothing again.
    db.batch_execute("update tenure.results set copy_of = attempt_id where kind = 'model' and turn = 1")
        .await
        .unwrap();
    let of_run = cost(&server, &id).await;
    assert_eq!((&of_run["pricedCalls"], &of_run["unpricedCalls"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn a_provider_that_counts_no_tokens_is_free_only_when_its_price_is_nothing() {
    let (database, provider) = (TestDb::new().await, provider(Value::Null).await);
    let server = server(&database, &provider).await;
    let id = ran(&server, "local", "openai/uncounted").await;
    set(&server, price("openai/*", "1", "1")).await;
    let of_run = cost(&server, &id).await;
    assert_eq!((&of_run["costs"], &of_run["unpricedCalls"]), (&json!([]), &json!(1)));
    set(&server, price("openai/uncounted", "0", "0")).await;
    assert_eq!(cost(&server, &id).await["costs"], json!([{ "currency": "USD", "cost": "0" }]));
}

#[tokio::test]
async fn prices_are_replaced_imported_and_removed_all_or_none() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let first = set(&server, price("a/b", "1", "2")).await;
    let again = set(&server, price("A/b", "3", "4")).await;
    assert_eq!(
        (&first[0]["id"], &again[0]["prompt"]),
        (&again[0]["id"], &json!("3")),
        "same model, same date"
    );

    let broken = json!([price("a/c", "1", "2"), price("a/d", "much", "2")]);
    let refusal = server.post("/api/prices", &broken).await.refused(400);
    assert!(refusal.starts_with("price 2:") && refusal.contains("plain number"), "{refusal}");
    let twice = json!([price("a/c", "1", "2"), price("a/c", "2", "3")]);
    let refusal = server.post("/api/prices", &twice).await.refused(400);
    assert!(refusal.contains("same model"), "{refusal}");
    for bad in [json!([]), json!("x"), json!({ "model": "a/b", "price": 3 }), json!([null])] {
        server.post("/api/prices", &bad).await.refused(400);
    }
    assert_eq!(server.get("/api/prices").await.ok().as_array().unwrap().len(), 1);

    let listed = tenure(&["prices", "list", "--json", "--server", server.base()]).output().unwrap().stdout;
    let id = again[0]["id"].as_i64().unwrap();
    server.delete(&format!("/api/prices/{id}")).await.ok();
    server.delete(&format!("/api/prices/{id}")).await.refused(404);
    server.delete("/api/prices/x").await.refused(404);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), listed).unwrap();
    let path = file.path().to_str().unwrap();
    let output = tenure(&["prices", "import", path, "--server", server.base()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let prices = server.get("/api/prices").await.ok();
    assert_eq!(
        (&prices[0]["model"], &prices[0]["prompt"], &prices[0]["from"]),
        (&json!("a/b"), &json!("3"), &json!("2020-01-01T00:00:00Z"))
    );
}

#[tokio::test]
async fn a_form_sets_a_price_and_says_what_is_wrong_with_it() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let opened =
        client.get(format!("{}/costs", server.base())).header("accept", "text/html").send().await.unwrap();
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let html = opened.text().await.unwrap();
    let token = html.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let send = async |path: &str, body: &str| {
        let form = format!("token={token}&{body}");
        let request = client
            .post(format!("{}{path}", server.base()))
            .header("accept", "text/html")
            .header("cookie", &cookie);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, html) = send("/costs/prices", "model=a%2Fb&currency=USD&prompt=dear&completion=2").await;
    assert_eq!(status, 422, "{html}");
    shows(&html, "plain number");
    shows(&html, "value=\"dear\"");
    let (status, html) =
        send("/costs/prices", "model=a%2Fb&currency=USD&prompt=1.25&completion=2&note=from+the+list").await;
    assert_eq!(status, 200, "{html}");
    shows(&html, "1.25");
    shows(&html, "from the list");
    let id = server.get("/api/prices").await.ok()[0]["id"].clone();
    let (status, html) = send(&format!("/costs/prices/{id}/delete"), "").await;
    assert_eq!(status, 200);
    shows(&html, "No prices yet");
    let elsewhere = client.post(format!("{}/costs/prices", server.base())).header("accept", "text/html");
    let elsewhere = elsewhere
        .header("content-type", "application/x-www-form-urlencoded")
        .body("model=a%2Fb&currency=USD&prompt=1&completion=2");
    assert_eq!(elsewhere.send().await.unwrap().status(), 403, "a form of somebody else");
}

#[tokio::test]
async fn what_calls_cost_is_counted_for_monitoring() {
    let (database, provider) = (TestDb::new().await, provider(some()).await);
    let server = server(&database, &provider).await;
    set(&server, price("openai/gpt-x", "2.5", "10")).await;
    ran(&server, "a", "openai/gpt-x").await;
    ran(&server, "b", "openai/free").await;
    // 1000 × 2.5 + 100 × 10.
    let lines = [
        "tenure_cost_micros_total{model=\"openai/gpt-x\",currency=\"USD\"} 3500",
        "tenure_unpriced_calls_total{model=\"openai/free\"} 1",
        "tenure_tokens_total{model=\"openai/gpt-x\",type=\"cached\"} 400",
    ];
    eventually("the costs are counted", async || {
        let text = server.get("/metrics").await.text;
        lines.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn spending_of_a_day_that_nobody_asks_for_is_not_in_it() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let id = ran(&server, "a", "demo/echo").await;
    let db = database.connect().await;
    let older = format!(
        "update tenure.results set ended_at = ended_at - interval '3 days', started_at = null where execution_id = '{id}'"
    );
    db.batch_execute(&older).await.unwrap();
    let spent = async |days: u32| server.get(&format!("/api/costs?days={days}")).await.ok()["spent"].clone();
    assert_eq!(spent(3).await, json!([]));
    assert_eq!(spent(4).await[0]["calls"], json!(1));
    for bad in ["days=0", "days=400", "days=x", "by=hour"] {
        server.get(&format!("/api/costs?{bad}")).await.refused(400);
    }
    let bad = Http::send(server.request("GET", "/costs?span=1y").header("accept", "text/html")).await;
    assert_eq!(bad.status, 400);
}

/// Rows that a plan's nodes made or threw away, all repetitions counted.
fn touched(node: &Value) -> f64 {
    let number = |key: &str| node[key].as_f64().unwrap_or(0.0);
    let own = number("Actual Loops")
        * (number("Actual Rows") + number("Rows Removed by Join Filter") + number("Rows Removed by Filter"));
    own + node["Plans"].as_array().into_iter().flatten().map(touched).sum::<f64>()
}

#[tokio::test]
async fn what_a_long_run_cost_is_found_in_time_that_grows_with_its_calls() {
    const LONG: &str = "00000000-0000-7000-8000-000000000001";
    let database = TestDb::new().await;
    let db = database.connect().await;
    // Statistics tell of short runs; then one is made that has 2,500 model calls among 7,500 others.
    let made = |runs: &str, from: u32, to: u32| {
        format!(
            "create temporary table made on commit drop as
             select {runs} as run, md5('try' || n)::uuid as id, n, case when n % 4 = 0 then 'model' else 'tool' end as kind
               from generate_series({from}, {to}) n;
             insert into tenure.tasks (execution_id, id, kind, turn, attempt, name, queue_id, input, created_at)
             select run, id, kind, n, 1, 'demo/x', 1, '{{}}', now() from made;
             insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, ended_at, prompt_tokens, completion_tokens)
             select run, id, kind, n, 0, 'completed', now(), 1, 1 from made;"
        )
    };
    let short = made("('00000000-0000-7000-9000-' || lpad((n / 32)::text, 12, '0'))::uuid", 1, 4_000);
    let long = made(&format!("'{LONG}'::uuid"), 10_001, 20_000);
    for step in [
        "alter table tenure.tasks set (autovacuum_enabled = off); alter table tenure.results set (autovacuum_enabled = off)",
        &short,
        "analyze tenure.tasks; analyze tenure.results",
        &long,
        "set random_page_cost = 40; set enable_hashjoin = off; set enable_mergejoin = off", // where nothing is in memory, each look costs much more than a row
    ] {
        db.batch_execute(step).await.unwrap();
    }
    let sql = std::fs::read_to_string("sql/prices/of_runs.sql").unwrap();
    let sql = sql.replace("$1::uuid[]", &format!("array['{LONG}'::uuid]"));
    let plan: Value =
        db.query_one(&format!("explain (analyze, format json) {sql}"), &[]).await.unwrap().get(0);
    let touched = touched(&plan[0]["Plan"]);
    assert!((2_500.0..50_000.0).contains(&touched), "{touched} rows for 2,500 calls\n{plan:#}");
}
