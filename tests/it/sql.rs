//! What the documentation says about SQL is true: every statement in it runs.

use tenure::postgres::{self, Options};
use tenure::store;

/// The statements between fences that say `sql`.
fn statements(markdown: &str) -> Vec<&str> {
    markdown.split("```sql\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}

#[tokio::test]
async fn every_statement_in_the_documentation_runs() {
    let options = Options { offline: true, ..Options::default() };
    let cluster = postgres::ephemeral(&options, &|_| {}).await.unwrap();
    let (mut client, connection) = cluster.config().connect().await.unwrap();
    tokio::spawn(connection);
    store::schema::migrate(&mut client).await.unwrap();

    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sql.md")).unwrap();
    let statements = statements(&document);
    assert!(statements.len() >= 10, "found only {} statements", statements.len());
    for statement in statements {
        if let Err(error) = client.simple_query(statement).await {
            panic!("{statement}\n{error:?}");
        }
    }
}
