//! The single agent's loop, told over HTTP.

use serde_json::json;

use crate::harness::{Server, TestDb, agent, calls, says, script, tools};

#[tokio::test]
async fn a_question_that_needs_one_tool() {
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let model = script(&[calls(["lookup"]), says("It appeared in 1859.")]);

    let id = server.start_run(&agent("librarian", &model, tools(["lookup"])), "When?").await;
    let task = server.take("lookup").await;
    assert_eq!(task["inputData"]["for"], "lookup");
    server.complete(&task, &json!({ "year": 1859 })).await;

    let end = server.until(&id, "COMPLETED").await;
    assert_eq!(end["output"]["result"], "It appeared in 1859.");
    assert_eq!(
        server.events(&id).await,
        [
            "started",
            "model_called",
            "model_replied",
            "tool_called",
            "tool_returned",
            "model_called",
            "model_replied",
            "completed"
        ]
    );
}
