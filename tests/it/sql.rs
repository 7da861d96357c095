//! The schema and every statement on it.

use std::path::{Path, PathBuf};

use tenure::store::schema;
use tokio_postgres::{Client, error::SqlState};

use crate::harness::{Server, TestDb, tenure};

const ID: &str = "0199f0aa-0000-7000-8000-000000000001";
const ATTEMPT: &str = "0199f0aa-0000-7000-8000-000000000002";

fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
    found
}

/// Every query file still fits the schema: names, types and syntax.
#[tokio::test]
async fn every_query_prepares() {
    let database = TestDb::new().await;
    let db = database.connect().await;
    let files = files(Path::new("sql"), "sql").into_iter().filter(|f| !f.starts_with("sql/migrations"));
    let mut seen = 0;
    for file in files {
        let sql = std::fs::read_to_string(&file).unwrap();
        if let Err(error) = db.prepare(&sql).await {
            panic!("{}: {}", file.display(), error.as_db_error().unwrap());
        }
        seen += 1;
    }
    assert!(seen > 50, "only {seen} files were found");
}

/// What the documentation prints can be typed.
#[tokio::test]
async fn every_statement_in_the_documentation_runs() {
    let database = TestDb::new().await;
    let db = database.connect().await;
    let document = std::fs::read_to_string("docs/sql.md").unwrap();
    let statements = document.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut seen = 0;
    for statement in statements {
        if let Err(error) = db.batch_execute(statement).await {
            panic!("{error:?} in\n{statement}");
        }
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} statements were found");
}

#[tokio::test]
async fn a_second_migration_finds_nothing_to_do() {
    let database = TestDb::empty().await;
    let mut db = database.connect().await;
    assert!(schema::status(&mut db).await.unwrap().iter().all(|step| !step.applied));
    let first = schema::migrate(&mut db).await.unwrap();
    assert_eq!(first.len(), files(Path::new("sql/migrations"), "sql").len());
    assert!(schema::migrate(&mut db).await.unwrap().is_empty());
    assert!(schema::status(&mut db).await.unwrap().iter().all(|step| step.applied));
}

#[tokio::test]
async fn two_servers_that_start_on_an_empty_database_migrate_it_once() {
    let database = TestDb::empty().await;
    let (one, other) = tokio::join!(Server::start(&database), Server::start(&database));
    let logs = format!("{}{}", one.process().log(), other.process().log());
    for file in files(Path::new("sql/migrations"), "sql") {
        let name = file.file_stem().unwrap().to_string_lossy().split_once("__").unwrap().1.to_owned();
        let times = logs.lines().filter(|l| l.contains("migrated the database") && l.contains(&name)).count();
        assert_eq!(times, 1, "{name} in\n{logs}");
    }
}

#[tokio::test]
async fn the_command_line_migrates_and_tells_the_status() {
    let database = TestDb::empty().await;
    let run = |command: &str| {
        let output = tenure(&["db", command, "--json", "--database-url", database.url()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (before, _, after) = (run("status"), run("migrate"), run("status"));
    assert!(before.contains("core") && before != after, "{before}\n{after}");
}

async fn an_execution(db: &Client, status: &str) {
    let ended = if status == "running" { "null" } else { "now()" };
    db.batch_execute(&format!(
        "insert into tenure.agents (name, current) values ('a', 1);
         insert into tenure.agent_versions (name, version, checksum, definition) values ('a', 1, 'c', '{{}}');
         insert into tenure.executions (id, agent, version, status, input, context, start_key, ended_at)
         values ('{ID}', 'a', 1, '{status}', '{{}}', '{{}}', 'key', {ended})"
    ))
    .await
    .unwrap();
}

/// What Postgres says to a statement that must not succeed.
async fn refused(db: &Client, sql: &str) -> (SqlState, String) {
    let error = db.batch_execute(sql).await.expect_err(sql);
    let error = error.as_db_error().unwrap();
    (error.code().clone(), format!("{} {}", error.message(), error.constraint().unwrap_or_default()))
}

#[tokio::test]
async fn nobody_can_reopen_what_has_ended() {
    let database = TestDb::new().await;
    let db = database.connect().await;
    an_execution(&db, "completed").await;
    for change in ["status = 'running', ended_at = null", "status = 'failed'", "output = '{\"result\": 1}'"] {
        let (code, message) = refused(&db, &format!("update tenure.executions set {change}")).await;
        assert_eq!(code, SqlState::CHECK_VIOLATION);
        assert!(message.contains("has ended as completed"), "{message}");
    }
}

#[tokio::test]
async fn the_database_itself_refuses_what_must_never_be() {
    let database = TestDb::new().await;
    let db = database.connect().await;
    an_execution(&db, "running").await;
    db.batch_execute(&format!(
        "insert into tenure.queues (name) values ('q');
         insert into tenure.events values ('{ID}', 1, 'started', null, null, now());
         insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, ended_at)
         values ('{ID}', '{ATTEMPT}', 'tool', 1, 0, 'completed', now())"
    ))
    .await
    .unwrap();
    let cases = [
        (
            "insert into tenure.events values ('ID', 1, 'paused', null, null, now())",
            SqlState::UNIQUE_VIOLATION,
            "events_pkey",
        ),
        (
            "insert into tenure.events values ('ID', 0, 'paused', null, null, now())",
            SqlState::CHECK_VIOLATION,
            "seq",
        ),
        (
            "insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, ended_at)
             values ('ID', 'ID', 'tool', 1, 0, 'gave_up', now())",
            SqlState::UNIQUE_VIOLATION,
            "results_accepted_once",
        ),
        (
            "insert into tenure.executions (id, agent, version, status, input, context, start_key)
             values ('ATTEMPT', 'a', 1, 'paused', '{}', '{}', 'key')",
            SqlState::UNIQUE_VIOLATION,
            "executions_started_once",
        ),
        (
            "update tenure.executions set status = 'asleep', ended_at = now()",
            SqlState::CHECK_VIOLATION,
            "status_is_known",
        ),
        (
            "update tenure.executions set status = 'failed'",
            SqlState::CHECK_VIOLATION,
            "ended_exactly_when_terminal",
        ),
        (
            "update tenure.executions set status = 'failed', ended_at = created_at - interval '1 s'",
            SqlState::CHECK_VIOLATION,
            "ends_after_it_starts",
        ),
        (
            "insert into tenure.queue (execution_id, attempt_id, queue_id, worker_id) values ('ID', 'ATTEMPT', 1, 1)",
            SqlState::CHECK_VIOLATION,
            "leased_exactly_when_a_worker_has_it",
        ),
        (
            "insert into tenure.executions (id, agent, version, status, input, context)
             values ('ATTEMPT', 'a', 2, 'running', '{}', '{}')",
            SqlState::FOREIGN_KEY_VIOLATION,
            "agent_version",
        ),
    ];
    for (sql, code, constraint) in cases {
        let (found, message) = refused(&db, &sql.replace("ID", ID).replace("ATTEMPT", ATTEMPT)).await;
        assert_eq!(found, code, "{sql}: {message}");
        assert!(message.contains(constraint), "{sql}: {message}");
    }
}

#[tokio::test]
async fn a_start_key_is_free_again_when_its_run_has_failed() {
    let database = TestDb::new().await;
    let db = database.connect().await;
    an_execution(&db, "failed").await;
    db.batch_execute(&format!(
        "insert into tenure.executions (id, agent, version, status, input, context, start_key)
         values ('{ATTEMPT}', 'a', 1, 'running', '{{}}', '{{}}', 'key')"
    ))
    .await
    .unwrap();
}

/// While somebody holds a snapshot, the queue is mostly dead rows, and a vacuum may find not one that lives. Each statement
/// about attempts still goes to their rows by the whole key.
#[tokio::test]
async fn attempts_are_found_by_their_key_when_statistics_say_that_the_queue_is_empty() {
    let database = TestDb::new().await;
    let config = tenure::postgres::Config::parse(database.url()).unwrap();
    let (db, connection) = config.keyed().connect().await.unwrap();
    tokio::spawn(connection);
    for relation in ["queue", "queue_pkey", "queue_leased", "queue_ready", "queue_deferred"] {
        let empty =
            "update pg_class set reltuples = 0, relpages = 9000 where oid = ('tenure.' || $1)::regclass";
        assert_eq!(db.execute(empty, &[&relation]).await.unwrap(), 1);
    }
    for statement in ["take", "give_back", "promote", "claim", "extend", "call_back"] {
        let sql = std::fs::read_to_string(format!("sql/queue/{statement}.sql")).unwrap();
        let many = db.prepare(&sql).await.unwrap().params().len();
        let nulls = vec!["null"; many].join(", ");
        db.batch_execute(&format!("prepare {statement} as {sql}")).await.unwrap();
        let plan = db.query(&format!("explain execute {statement}({nulls})"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        let at = plan.iter().position(|line| line.contains("Index Scan using queue_pkey"));
        let at = at.unwrap_or_else(|| panic!("{statement} does not use the key:\n{}", plan.join("\n")));
        let condition = &plan[at + 1];
        assert!(
            condition.contains("Index Cond")
                && condition.contains("execution_id")
                && condition.contains("attempt_id"),
            "{statement} walks the whole key:\n{}",
            plan.join("\n")
        );
    }
}
