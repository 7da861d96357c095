//! Server binaries that were fetched from the network really start.

use tenure::postgres::{Options, Source};

use super::{Place, open, text};

/// Needs the network and minutes: `TENURE_TEST_FETCH=1 cargo test --test it fetched`.
async fn fetched_binaries_start(source: Source, name: &str) {
    if std::env::var_os("TENURE_TEST_FETCH").is_none() {
        println!("skipped: set TENURE_TEST_FETCH=1 to fetch {name} from the network");
        return;
    }
    let place = Place::new();
    let online = Options { source, offline: false, ..place.options() };
    let (cluster, said) = open(&online).await;
    let cluster = cluster.unwrap();
    assert!(said.contains("fetching Postgres"), "{said}");
    assert!(said.contains(&format!("{}/cache/postgres/{name}", place.0.path().display())), "{said}");
    assert_eq!(text(&cluster, "select 'it works'").await, "it works");
    let output = cluster.psql().unwrap().args(["-Atc", "select 40 + 2"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "42\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    cluster.stop().await.unwrap();

    let (cluster, said) = open(&Options { source: Source::Cache, ..place.options() }).await;
    assert!(said.contains("fetched earlier"), "{said}");
    cluster.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn fetched_by_pip_it_starts() {
    fetched_binaries_start(Source::Pip, "wheel").await;
}

#[tokio::test]
async fn fetched_by_apt_it_starts() {
    fetched_binaries_start(Source::Apt, "debian").await;
}
