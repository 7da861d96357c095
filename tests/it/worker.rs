//! The worker library against a desk that hands out attempts and takes results, as the protocol says. The desk can
//! close and open again at the same address, and can decide that a lease is lost.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenure::worker::{Context, Tool, ToolError, Worker};
use tokio::{sync::oneshot, task::JoinHandle};

#[derive(Default)]
pub(crate) struct Book {
    pub waiting: Vec<Value>,
    pub definitions: Vec<Value>,
    pub polls: Vec<String>,
    pub results: Vec<Value>,
    pub signs_of_life: usize,
    /// What `GET /api/tasks/{id}` says of any attempt.
    pub status: String,
    refuse_completed: bool,
}

impl Book {
    fn hand_out(&mut self, queue: &str, count: usize) -> Vec<Value> {
        let (given, kept) =
            self.waiting.drain(..).partition::<Vec<_>, _>(|task| task["taskDefName"] == queue);
        let (given, rest) = given.split_at(count.min(given.len()));
        self.waiting = [rest.to_vec(), kept].concat();
        given.to_vec()
    }
}

pub(crate) type Shared = web::Data<Mutex<Book>>;

#[derive(Deserialize)]
struct Poll {
    count: usize,
}

async fn poll(
    book: Shared,
    queue: web::Path<String>,
    query: web::Query<Poll>,
    request: actix_web::HttpRequest,
) -> HttpResponse {
    let tasks = {
        let mut book = book.lock().unwrap();
        book.polls.push(request.query_string().to_owned());
        book.hand_out(&queue, query.count)
    };
    if tasks.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    HttpResponse::Ok().json(tasks)
}

async fn update_v2(book: Shared, result: web::Json<Value>) -> HttpResponse {
    let mut book = book.lock().unwrap();
    if book.refuse_completed && result["status"] == "COMPLETED" {
        return HttpResponse::PayloadTooLarge().body("too large");
    }
    book.results.push(result.into_inner());
    match book.hand_out("greet", 1).pop() {
        Some(next) => HttpResponse::Ok().json(next),
        None => HttpResponse::NoContent().finish(),
    }
}

async fn update(book: Shared, result: web::Json<Value>) -> HttpResponse {
    let mut book = book.lock().unwrap();
    if result["extendLease"] == true {
        book.signs_of_life += 1;
    } else {
        book.results.push(result.into_inner());
    }
    HttpResponse::Ok().body("id")
}

async fn define(book: Shared, definition: web::Json<Value>) -> HttpResponse {
    book.lock().unwrap().definitions.push(definition.into_inner());
    HttpResponse::Ok().finish()
}

async fn look(book: Shared) -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": book.lock().unwrap().status}))
}

pub(crate) struct Desk {
    pub book: Shared,
    pub port: u16,
    server: Option<ServerHandle>,
}

impl Desk {
    pub fn open() -> Self {
        let book = web::Data::new(Mutex::new(Book { status: "IN_PROGRESS".into(), ..Book::default() }));
        let mut desk = Self { book, port: 0, server: None };
        desk.reopen();
        desk
    }

    fn reopen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        self.port = listener.local_addr().unwrap().port();
        let book = self.book.clone();
        let app = move || {
            App::new()
                .app_data(book.clone())
                .route("/api/metadata/taskdefs", web::put().to(define))
                .route("/api/tasks/poll/batch/{queue}", web::get().to(poll))
                .route("/api/tasks/update-v2", web::post().to(update_v2))
                .route("/api/tasks", web::post().to(update))
                .route("/api/tasks/{id}", web::get().to(look))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap().run();
        self.server = Some(server.handle());
        tokio::spawn(server);
    }

    async fn close(&mut self) {
        self.server.take().unwrap().stop(false).await;
    }

    pub fn offer(&self, task: Value) {
        self.book.lock().unwrap().waiting.push(task);
    }

    pub fn results(&self) -> Vec<Value> {
        self.book.lock().unwrap().results.clone()
    }

    fn worker(&self) -> Worker {
        Worker::new(format!("http://127.0.0.1:{}/api", self.port))
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&Book) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds(&self.book.lock().unwrap()) {
            assert!(Instant::now() < deadline, "never happened: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A worker in the background, and the way to stop it.
struct Running(oneshot::Sender<()>, JoinHandle<Result<(), tenure::worker::Error>>);

fn start(worker: Worker) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    Running(stop, tokio::spawn(worker.run_until(async { drop(stopped.await) })))
}

impl Running {
    async fn stop(self) {
        self.0.send(()).unwrap();
        self.1.await.unwrap().unwrap();
    }
}

pub(crate) fn greet(id: &str, input: &Value) -> Value {
    json!({
        "taskId": id, "workflowInstanceId": "run-1", "referenceTaskName": "call_1__1", "taskDefName": "greet",
        "status": "IN_PROGRESS", "retryCount": 0, "responseTimeoutSeconds": 1, "inputData": input,
    })
}

#[derive(Deserialize)]
struct Guest {
    name: String,
}

#[derive(Serialize)]
struct Greeting {
    text: String,
}

async fn hello(guest: Guest) -> Result<Greeting, ToolError> {
    match guest.name.as_str() {
        "nobody" => Err(ToolError::terminal("there is nobody")),
        "later" => Err(ToolError::retryable("come back")),
        "panic" => panic!("oh no"),
        name => Ok(Greeting { text: format!("Hello, {name}!") }),
    }
}

async fn slow(_: Value) -> Result<&'static str, ToolError> {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    Ok("done")
}

#[tokio::test]
async fn typed_input_goes_in_and_typed_output_comes_out() {
    let desk = Desk::open();
    desk.offer(greet("a1", &json!({"name": "Ada", "method": "greet"})));
    let worker = start(desk.worker().tool("greet", hello).lease(Duration::from_secs(3)));

    desk.until("a result", |book| book.results.len() == 1).await;
    worker.stop().await;

    let result = &desk.results()[0];
    assert_eq!(result["status"], "COMPLETED");
    assert_eq!(result["outputData"], json!({"text": "Hello, Ada!"}));
    assert_eq!((&result["taskId"], &result["workflowInstanceId"]), (&json!("a1"), &json!("run-1")));
    let book = desk.book.lock().unwrap();
    assert_eq!(book.definitions[0]["name"], "greet");
    assert_eq!(book.definitions[0]["responseTimeoutSeconds"], 3);
    assert!(book.polls[0].contains("count=1&timeout=1000"), "{}", book.polls[0]);
}

#[tokio::test]
async fn failures_say_whether_another_attempt_may_help() {
    let desk = Desk::open();
    for (id, name) in [("a1", "later"), ("a2", "nobody"), ("a3", "panic")] {
        desk.offer(greet(id, &json!({"name": name})));
    }
    desk.offer(greet("a4", &json!({"nom": "Ada"})));
    let worker = start(desk.worker().tool("greet", hello));
    desk.until("four results", |book| book.results.len() == 4).await;
    worker.stop().await;

    let said: Vec<_> =
        desk.results().iter().map(|r| (r["status"].clone(), r["reasonForIncompletion"].clone())).collect();
    assert_eq!(said[0], (json!("FAILED"), json!("come back")));
    assert_eq!(said[1], (json!("FAILED_WITH_TERMINAL_ERROR"), json!("there is nobody")));
    assert_eq!(said[2].0, "FAILED");
    assert!(said[2].1.as_str().unwrap().contains("panicked"));
    assert_eq!(said[3].0, "FAILED_WITH_TERMINAL_ERROR");
    assert!(said[3].1.as_str().unwrap().contains("missing field `name`"));
}

#[tokio::test]
async fn a_tool_sees_who_calls_and_shares_the_agents_state() {
    let desk = Desk::open();
    let mut task = greet("a7", &json!({"_agent_state": {"visits": 2}}));
    task["retryCount"] = json!(1);
    desk.offer(task);
    let worker = start(desk.worker().tool("greet", |_: Value, call: Context| async move {
        let visits: u32 = call.state("visits")?.unwrap_or(0);
        call.set_state("visits", &(visits + 1))?;
        Ok(json!({"key": call.idempotency_key, "attempt": call.attempt, "of": call.execution_id, "id": call.attempt_id}))
    }));
    desk.until("a result", |book| book.results.len() == 1).await;
    worker.stop().await;

    assert_eq!(
        desk.results()[0]["outputData"],
        json!({"key": "run-1/call_1__1", "attempt": 2, "of": "run-1", "id": "a7", "_state_updates": {"visits": 3}})
    );
}

#[tokio::test]
async fn a_long_call_shows_signs_of_life_at_a_third_of_its_lease() {
    let desk = Desk::open();
    desk.offer(greet("a1", &json!({})));
    let worker = start(desk.worker().tool("greet", slow));
    desk.until("a result", |book| book.results.len() == 1).await;
    worker.stop().await;
    // 1.5 s of work under a lease of 1 s: signs at about 0.33, 0.67, 1.0 and 1.33 s.
    let signs = desk.book.lock().unwrap().signs_of_life;
    assert!((3..=4).contains(&signs), "{signs}");
}

#[tokio::test]
async fn a_call_whose_lease_is_lost_stops_and_its_result_goes_nowhere() {
    struct Stopped(Arc<Mutex<bool>>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = true;
        }
    }
    let desk = Desk::open();
    let stopped = Arc::new(Mutex::new(false));
    let (told, guard) = (Arc::new(Mutex::new(false)), stopped.clone());
    let witness = told.clone();
    desk.offer(greet("a1", &json!({})));
    let worker = start(desk.worker().tool("greet", move |_: Value, call: Context| {
        let (witness, guard) = (witness.clone(), Stopped(guard.clone()));
        async move {
            tokio::spawn(async move {
                call.lease_lost().await;
                *witness.lock().unwrap() = true;
            });
            tokio::time::sleep(Duration::from_mins(10)).await;
            drop(guard);
            Ok(())
        }
    }));
    desk.until("a sign of life", |book| book.signs_of_life > 0).await;
    desk.book.lock().unwrap().status = "TIMED_OUT".into();
    desk.until("the function stopped", |_| *stopped.lock().unwrap() && *told.lock().unwrap()).await;
    worker.stop().await;
    assert_eq!(desk.results(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_result_survives_a_server_that_is_away_and_work_goes_on_at_once_when_it_is_back() {
    let mut desk = Desk::open();
    let (began, waits) = oneshot::channel::<()>();
    let began = Arc::new(Mutex::new(Some(began)));
    desk.offer(greet("a1", &json!({})));
    let tool = move |_: Value| {
        let began = began.lock().unwrap().take();
        async move {
            if let Some(began) = began {
                began.send(()).unwrap();
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            Ok("done")
        }
    };
    let worker = start(desk.worker().tool("greet", tool));
    waits.await.unwrap();
    desk.close().await;
    tokio::time::sleep(Duration::from_secs(2)).await; // The outage is what is tested here, not a wait for something.
    assert_eq!(desk.results(), Vec::<Value>::new());

    desk.reopen();
    desk.until("the result", |book| book.results.len() == 1).await;
    desk.close().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    desk.offer(greet("a2", &json!({})));
    desk.reopen();
    let back = Instant::now();
    desk.until("the next result", |book| book.results.len() == 2).await;
    assert!(back.elapsed() < Duration::from_millis(600), "{:?}", back.elapsed());
    worker.stop().await;
}

#[tokio::test]
async fn the_next_attempt_comes_with_the_reply_to_a_result() {
    let desk = Desk::open();
    for id in ["a1", "a2", "a3"] {
        desk.offer(greet(id, &json!({"name": id})));
    }
    let worker = start(desk.worker().tool("greet", hello));
    desk.until("three results", |book| book.results.len() == 3).await;
    let polls = desk.book.lock().unwrap().polls.len();
    worker.stop().await;
    assert!(polls <= 2, "one poll brings the first attempt, replies bring the others; saw {polls}");
}

#[tokio::test]
async fn slots_bound_what_runs_at_once_and_free_slots_bound_what_is_asked_for() {
    let desk = Desk::open();
    for id in ["a1", "a2", "a3", "a4"] {
        desk.offer(json!({"taskId": id, "workflowInstanceId": "r", "taskDefName": "count", "inputData": {}}));
    }
    let running = Arc::new(Mutex::new((0, 0)));
    let shared = running.clone();
    let tool = Tool::new("count", move |_: Value| {
        let running = shared.clone();
        async move {
            {
                let mut now = running.lock().unwrap();
                *now = (now.0 + 1, now.1.max(now.0 + 1));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            running.lock().unwrap().0 -= 1;
            Ok(())
        }
    });
    let worker = start(desk.worker().with(tool.concurrency(2).domain("blue")));
    desk.until("four results", |book| book.results.len() == 4).await;
    worker.stop().await;
    assert_eq!(running.lock().unwrap().1, 2, "two at once, never three");
    let polls = desk.book.lock().unwrap().polls.clone();
    assert!(polls[0].contains("count=2") && polls[0].contains("domain=blue"), "{}", polls[0]);
}

#[tokio::test]
async fn after_the_stop_signal_what_is_in_flight_is_finished_and_nothing_begins() {
    let desk = Desk::open();
    desk.offer(greet("a1", &json!({})));
    desk.offer(greet("a2", &json!({})));
    let worker = start(desk.worker().tool("greet", slow));
    desk.until("the first call runs", |book| book.waiting.len() == 1).await;
    worker.stop().await;
    assert_eq!(desk.results().len(), 1);
    assert_eq!(desk.results()[0]["outputData"]["result"], "done");
    assert_eq!(desk.book.lock().unwrap().waiting.len(), 1, "the second call stays in the queue");
}

#[tokio::test]
async fn a_result_that_the_server_refuses_becomes_a_failure_that_says_so() {
    let desk = Desk::open();
    desk.book.lock().unwrap().refuse_completed = true;
    desk.offer(greet("a1", &json!({"name": "Ada"})));
    let worker = start(desk.worker().tool("greet", hello));
    desk.until("a result", |book| book.results.len() == 1).await;
    worker.stop().await;
    assert_eq!(desk.results()[0]["status"], "FAILED_WITH_TERMINAL_ERROR");
    assert!(desk.results()[0]["reasonForIncompletion"].as_str().unwrap().contains("413"));
}

#[tokio::test]
async fn a_worker_without_tools_or_with_a_wrong_address_says_so() {
    let ready = std::future::ready(());
    let error = Worker::new("http://localhost:1").run_until(ready).await.unwrap_err();
    assert!(error.to_string().contains("at least one tool"));
    let error =
        Worker::new("localhost").tool("greet", hello).run_until(std::future::ready(())).await.unwrap_err();
    assert!(error.to_string().contains("http://localhost:6767"));
}
