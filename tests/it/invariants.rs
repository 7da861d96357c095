//! What must hold after every fault, as queries that find nothing: `sql/invariants`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenure::store::{invariants, judge};
use tokio_postgres::Client;

use crate::harness::{Server, TestDb, agent, calls, eventually, script, tenure, tools};

/// Panics with the rows that break an invariant. `accepted` are the executions that clients were told of.
pub async fn hold(db: &Client, accepted: &[String]) {
    let broken = broken(db).await;
    assert!(broken.is_empty(), "broken invariants:\n{}", broken.join("\n"));
    for id in accepted {
        let found = judge::run(db, id.parse().unwrap()).await.unwrap();
        assert!(found.is_some(), "execution {id} was accepted and is not there");
    }
}

async fn broken(db: &Client) -> Vec<String> {
    let broken = invariants::broken(db, 10).await.unwrap();
    broken.into_iter().map(|b| format!("{}: {:?}", b.invariant.says, b.row)).collect()
}

/// A run that asked about two calls, of which one was approved and is running.
async fn one_of_two_approved(server: &Server) -> String {
    let gated =
        json!([{ "name": "drop", "description": "drop", "toolType": "worker", "approvalRequired": true }]);
    let asks = server.start_run(&agent("asks", &script(&[calls(["drop", "drop"])]), gated), "Drop.").await;
    let asked = eventually("two questions", async || {
        let list = server.get("/api/v1/approvals").await.ok();
        list["approvals"].as_array().filter(|a| a.len() == 2).cloned()
    })
    .await;
    let path = format!("/api/v1/approvals/{}/decide", asked[0]["id"].as_str().unwrap());
    server.post(&path, &json!({ "decision": "approve", "by": "mira" })).await.ok();
    server.take("drop").await;
    asks
}

/// A test that can't fail proves nothing: every query finds what was broken for it.
/// What holds, and what breaks it.
const BREAKS: &[(&str, &str)] = &[
        (
            "one start key starts one execution that lives or has succeeded",
            "drop index tenure.executions_started_once; update tenure.executions set start_key = 'k';
             insert into tenure.executions (id, agent, version, status, input, context, start_key)
             select gen_random_uuid(), agent, version, status, input, context, 'k' from tenure.executions",
        ),
        (
            "no bulk job made two runs of one",
            "insert into tenure.executions (id, agent, version, status, input, context, start_key, forked_from,
                                            forked_at, forked_as, ended_at)
             select gen_random_uuid(), e.agent, e.version, 'failed', e.input, e.context, 'bulk:j:' || e.id, e.id, 0,
                    'retry', now()
               from tenure.executions e, generate_series(1, 2)",
        ),
        (
            "what belongs to a run goes with it, and a run that was deleted is not there",
            "insert into tenure.deleted_runs (id, deleted_by) select id, 'x' from tenure.executions limit 1",
        ),
        (
            "a task is accepted once, however many attempts it takes",
            "drop index tenure.results_accepted_once;
             insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, ended_at)
             select execution_id, gen_random_uuid(), kind, turn, call, outcome, ended_at from tenure.results",
        ),
        (
            "the accepted attempt is the newest one, and its event was written once",
            "delete from tenure.events where kind = 'tool_returned'",
        ),
        (
            "every task of a completed execution was accepted",
            "delete from tenure.queue; update tenure.executions set status = 'completed', ended_at = now()",
        ),
        (
            "attempts of a task are numbered from 1 without gaps",
            "update tenure.tasks set attempt = 2 where turn = 1",
        ),
        ("an attempt is either in the queue or has a result, never both and never neither", "delete from tenure.queue"),
        ("nothing is queued or has a result that was never a task", "delete from tenure.tasks where turn = 1"),
        ("events are numbered from 1 without gaps, and the newest says where the execution stands", "delete from tenure.events where seq = 2"),
        ("time never runs backwards inside an execution", "update tenure.events set at = at - interval '1 h' where seq = 3"),
        (
            "an execution that has ended has one event that says so, the last one; a live one has none",
            "update tenure.events set kind = 'completed' where seq = 3",
        ),
        ("messages are numbered from 1 without gaps, and the state agrees", "delete from tenure.messages where n = 1"),
        ("no lease outlives its time", "update tenure.queue set lease_until = now() - interval '1 h'"),
        (
            "nothing waits under an execution that has ended, and no live one waits for nothing",
            "update tenure.executions set status = 'failed', ended_at = now()",
        ),
        ("a live execution says what it waits for", "delete from tenure.queue"),
        (
            "a refused result left its event and was not accepted after all",
            "insert into tenure.events select v.execution_id, p.events + 1, 'result_refused', v.attempt_id, null, now(), p.state
               from tenure.events v cross join lateral tenure.progress(v.execution_id) p where v.kind = 'tool_returned';
             update tenure.events set seq = seq + 100 where kind = 'tool_returned'",
        ),
        (
            "a call that needs an approval runs only after it was approved, and with the arguments that were approved",
            "update tenure.tasks set input = '{}' where name = 'drop'",
        ),
        (
            "what was decided about a call reached its run once, and what was withdrawn never",
            "delete from tenure.events where kind = 'approval_approved'",
        ),
        (
            "what a live run waits for is what people are asked, and an ended one asks nobody",
            "alter table tenure.approvals disable trigger all; update tenure.approvals
                set decision = 'denied', decided_at = now(), decided_by = 'x', decided_via = 'sql', reason = 'x', delivered_at = now()
              where decision is null",
        ),
        (
            "a decision has a vote of whoever made it, unless it was the clock or the end of the run",
            "alter table tenure.approval_votes disable trigger all; delete from tenure.approval_votes",
        ),
        (
            "what a run copied is what the other one has, without gaps, and the next event says where it came from",
            "update tenure.events set data = '{}' where seq = 2 and execution_id in (select forked_from from tenure.executions)",
        ),
        (
            "nothing that was copied is done again, and its result is the one of the original, as long as that is there",
            "update tenure.tasks set copy_of = gen_random_uuid()",
        ),
];

#[tokio::test]
async fn each_invariant_notices_when_it_is_broken() {
    let database = TestDb::new().await;
    let server = Server::start(&database).await;
    let model = script(&[calls(["look"])]);
    let id = server.start_run(&agent("a", &model, tools(["look"])), "Look.").await;
    let task = server.take("look").await;
    server.complete(&task, &json!({})).await;
    server.take("look").await;
    server.post(&format!("/api/v1/executions/{id}/fork"), &json!({ "at": 3 })).await.ok();
    server.take("look").await;
    let asks = one_of_two_approved(&server).await;
    drop(server);

    let db = database.connect().await;
    hold(&db, &[id, asks]).await;
    drop(db);
    let said: BTreeSet<_> = invariants::invariants().into_iter().map(|i| i.says.to_lowercase()).collect();
    assert_eq!(BREAKS.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), said);
    for &(name, how) in BREAKS {
        let copy = TestDb::of(&database).await;
        let db = copy.connect().await;
        db.batch_execute(how).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let found = broken(&db).await;
        assert!(
            found.iter().any(|f| f.to_lowercase().starts_with(name)),
            "'{name}' did not notice; found only {found:?}"
        );
    }
}

#[tokio::test]
async fn db_verify_shows_what_is_broken_and_fails() {
    let database = TestDb::new().await;
    let verify = |more: &str| {
        let args = ["db", "verify", "--database-url", database.url(), more];
        tenure(&args[..if more.is_empty() { 4 } else { 5 }]).output().unwrap()
    };
    let peace = verify("");
    assert!(peace.status.success(), "{peace:?}");
    assert!(String::from_utf8_lossy(&peace.stdout).contains("hold"), "{peace:?}");
    database
        .connect()
        .await
        .batch_execute(
            "insert into tenure.results (execution_id, attempt_id, kind, turn, call, outcome, ended_at)
             values (gen_random_uuid(), '0199f0aa-0000-7000-8000-000000000002', 'tool', 1, 0, 'completed', now())",
        )
        .await
        .unwrap();
    let broken = verify("");
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    assert!(
        String::from_utf8_lossy(&broken.stdout).contains("0199f0aa-0000-7000-8000-000000000002"),
        "{broken:?}"
    );
    let broken: Value = serde_json::from_slice(&verify("--json").stdout).unwrap();
    assert_eq!(broken["broken"][0]["invariant"], "known_attempts", "{broken}");
}
