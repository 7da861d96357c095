//! Looks for violations after a point: in the database, in the sink, and in what the client was told.

use std::collections::HashMap;

use super::Error;
use super::play::Record;
use super::sink::Effect;
use crate::id::{AttemptId, ExecutionId};
use crate::store::invariants;
use crate::store::judge::{self, Call};

/// Rows of an invariant that are shown.
const SHOWN: usize = 3;

/// A judge of one lane. Remembers what had ended.
#[derive(Debug, Default)]
pub struct Judge {
    ended: HashMap<ExecutionId, String>,
    /// Workers are frozen and requests delayed: who lost a lease may act on it all the same, under the same key.
    zombies: bool,
}

impl Judge {
    /// A judge of what frozen workers and slow networks leave: an attempt that was handed out before its call was
    /// completed may be performed afterwards. Its result is refused, and its effect carries the call's key.
    #[must_use]
    pub fn among_zombies() -> Self {
        Self { zombies: true, ..Self::default() }
    }

    /// Everything was forgotten.
    pub fn forget(&mut self) {
        self.ended.clear();
    }

    /// What is wrong in a database in which nothing goes on any more.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub async fn look(
        &mut self,
        db: &tokio_postgres::Client,
        effects: &[Effect],
    ) -> Result<Vec<String>, Error> {
        let mut wrong = vec![];
        for broken in invariants::broken(db, SHOWN).await? {
            let row: Vec<_> = broken.row.iter().map(|(column, value)| format!("{column} {value}")).collect();
            wrong.push(format!("broken: {} ({})", broken.invariant.says, row.join(", ")));
        }
        let ended = judge::ended(db).await?;
        for (id, was) in &self.ended {
            if ended.get(id) != Some(was) {
                wrong.push(format!("execution {id} had ended, and has changed since"));
            }
        }
        self.ended = ended;
        wrong.extend(judge_effects(&judge::calls(db).await?, effects, self.zombies));
        Ok(wrong)
    }

    /// The same, and whether all is there that was acknowledged.
    pub(super) async fn judge(
        &mut self,
        db: &tokio_postgres::Client,
        effects: &[Effect],
        record: &Record,
    ) -> Result<Vec<String>, Error> {
        let mut wrong = record.wrong.clone();
        wrong.extend(self.look(db, effects).await?);
        for (id, ends) in &record.runs {
            match judge::run(db, *id).await? {
                None => {
                    wrong.push(format!("the start of execution {id} was acknowledged, and it is not there"));
                }
                Some(run) if run.status != *ends => {
                    let why = run.reason.unwrap_or_default();
                    wrong.push(format!(
                        "execution {id} should have ended as {ends} and is {} {why}",
                        run.status
                    ));
                }
                Some(_) => {}
            }
        }
        let outcomes: HashMap<_, _> =
            judge::calls(db).await?.into_iter().map(|call| (call.attempt, call.outcome)).collect();
        for attempt in &record.reported {
            if !matches!(outcomes.get(attempt), Some(Some(_))) {
                wrong.push(format!("a report of attempt {attempt} was acknowledged, and it has no result"));
            }
        }
        Ok(wrong)
    }
}

/// At most one performance per attempt, one key per call, none after the result was accepted, none missing.
fn judge_effects(calls: &[Call], effects: &[Effect], zombies: bool) -> Vec<String> {
    let mut wrong = vec![];
    let by_attempt: HashMap<String, &Call> =
        calls.iter().map(|call| (call.attempt.to_string(), call)).collect();
    let mut performed: HashMap<&str, u32> = HashMap::new();
    let mut keys: HashMap<&str, (ExecutionId, (i32, i16))> = HashMap::new();
    let mut key_of: HashMap<(ExecutionId, (i32, i16)), &str> = HashMap::new();
    for effect in effects {
        let Some(call) = by_attempt.get(&effect.attempt) else {
            wrong.push(format!("attempt {} was performed, and nobody knows it", effect.attempt));
            continue;
        };
        *performed.entry(&effect.attempt).or_default() += 1;
        let of = (call.execution, call.call);
        if *keys.entry(&effect.key).or_insert(of) != of {
            wrong.push(format!("two calls have the idempotency key {}", effect.key));
        }
        if *key_of.entry(of).or_insert(&effect.key) != effect.key {
            wrong.push(format!("the call of attempt {} has two idempotency keys", effect.attempt));
        }
        if !zombies && call.accepted.is_some_and(|(at, _)| effect.at > at) {
            wrong.push(format!(
                "attempt {} was performed although its call had been completed",
                effect.attempt
            ));
        }
    }
    for (attempt, many) in performed.iter().filter(|(_, many)| **many > 1) {
        wrong.push(format!("attempt {attempt} was performed {many} times"));
    }
    let accepted: std::collections::BTreeSet<AttemptId> =
        calls.iter().filter_map(|call| call.accepted.map(|(_, attempt)| attempt)).collect();
    for attempt in accepted.iter().filter(|attempt| !performed.contains_key(attempt.to_string().as_str())) {
        wrong.push(format!("attempt {attempt} counts as completed, and nobody has performed it"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn second(at: i64) -> Timestamp {
        Timestamp::from_second(at).unwrap()
    }

    fn call(place: i16, accepted: Option<i64>) -> Call {
        let attempt = AttemptId::new();
        Call {
            execution: ExecutionId::from_u128(1),
            attempt,
            call: (1, place),
            outcome: accepted.map(|_| "completed".to_owned()),
            accepted: accepted.map(|at| (second(at), attempt)),
        }
    }

    fn effect(call: &Call, key: &str, at: i64) -> Effect {
        Effect { key: key.to_owned(), attempt: call.attempt.to_string(), at: second(at) }
    }

    #[test]
    fn each_fault_of_an_effect_is_noticed() {
        let (one, two) = (call(0, Some(20)), call(1, None));
        let calls = [one.clone(), two.clone()];
        let good = effect(&one, "k1", 10);
        let found =
            |more: &[Effect]| judge_effects(&calls, &[std::slice::from_ref(&good), more].concat(), false);
        assert_eq!(found(&[effect(&two, "k2", 11)]), Vec::<String>::new());
        for (effects, what) in [
            (vec![good.clone()], "performed 2 times"),
            (vec![effect(&two, "k1", 11)], "two calls have the idempotency key"),
            (vec![effect(&two, "k2", 11), effect(&two, "k3", 11)], "has two idempotency keys"),
            (vec![effect(&one, "k1", 30)], "although its call had been completed"),
            (vec![effect(&call(2, None), "k9", 11)], "nobody knows it"),
        ] {
            let found = found(&effects);
            assert!(found.iter().any(|wrong| wrong.contains(what)), "{what}: {found:?}");
        }
        assert!(judge_effects(&calls, &[], false)[0].contains("nobody has performed it"));
    }
}
