//! A tool: a name, a function, and how many calls may run at once for how long.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::to_raw_value;

use super::{
    Context, ToolError,
    input::{self, Fields},
};

/// The outcome of a tool's function, on its way.
type Pending = Pin<Box<dyn Future<Output = Result<Fields, ToolError>> + Send>>;
/// A tool's function with its types forgotten: arguments in, output object out.
type Function = Box<dyn Fn(Fields, Context) -> Pending + Send + Sync>;

/// A tool that a worker performs.
#[must_use = "give the tool to a worker with Worker::with"]
pub struct Tool {
    pub(super) name: String,
    pub(super) domain: Option<String>,
    concurrency: Option<usize>,
    lease: Option<Duration>,
    function: Function,
}

impl Tool {
    /// The tool `name`, performed by `handler`: `async fn(Input) -> Result<Output, ToolError>`, or the same with a
    /// [`Context`] as second parameter.
    pub fn new<Args>(name: impl Into<String>, handler: impl Handler<Args>) -> Self {
        let function: Function =
            Box::new(move |arguments, context| Box::pin(handler.call(arguments, context)));
        Self { name: name.into(), domain: None, concurrency: None, lease: None, function }
    }

    /// Take calls of this domain only. Without one, take calls without domain only.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Calls that run at the same time (at least 1).
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = Some(calls.max(1));
        self
    }

    /// How long the server waits for a sign of life of an attempt (whole seconds, at least 1).
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    pub(super) fn or_defaults(mut self, concurrency: usize, lease: Duration) -> Self {
        self.concurrency.get_or_insert(concurrency);
        self.lease.get_or_insert(lease);
        self
    }

    pub(super) fn slots(&self) -> usize {
        self.concurrency.unwrap_or(super::CONCURRENCY)
    }

    /// The lease in whole seconds, which is how the protocol counts it.
    pub(super) fn lease_secs(&self) -> u64 {
        self.lease.unwrap_or(super::LEASE).as_secs().max(1)
    }

    pub(super) fn call(&self, arguments: Fields, context: Context) -> Pending {
        (self.function)(arguments, context)
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// An async function that can perform a tool: of its input, or of its input and a [`Context`].
pub trait Handler<Args>: Send + Sync + 'static {
    /// Read the input, run the function, write the output as a JSON object; anything that isn't one becomes
    /// `{"result": …}`.
    #[doc(hidden)]
    fn call(
        &self,
        arguments: Fields,
        context: Context,
    ) -> impl Future<Output = Result<Fields, ToolError>> + Send + 'static;
}

impl<F, I, O, Running> Handler<(I,)> for F
where
    F: Fn(I) -> Running + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    Running: Future<Output = Result<O, ToolError>> + Send + 'static,
{
    fn call(
        &self,
        arguments: Fields,
        _: Context,
    ) -> impl Future<Output = Result<Fields, ToolError>> + Send + 'static {
        let running = input::parse(&arguments).map(self);
        async move { as_object(&running?.await?) }
    }
}

impl<F, I, O, Running> Handler<(I, Context)> for F
where
    F: Fn(I, Context) -> Running + Send + Sync + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    Running: Future<Output = Result<O, ToolError>> + Send + 'static,
{
    fn call(
        &self,
        arguments: Fields,
        context: Context,
    ) -> impl Future<Output = Result<Fields, ToolError>> + Send + 'static {
        let running = input::parse(&arguments).map(|input| self(input, context));
        async move { as_object(&running?.await?) }
    }
}

fn as_object(output: &impl Serialize) -> Result<Fields, ToolError> {
    let json = to_raw_value(output)
        .map_err(|error| ToolError::terminal(format!("the tool's output has no JSON form: {error}")))?;
    Ok(serde_json::from_str(json.get()).unwrap_or_else(|_| Fields::from([("result".into(), json)])))
}

#[cfg(test)]
mod tests {
    use super::as_object;

    #[test]
    fn an_object_is_the_output_and_anything_else_becomes_its_result() {
        let text = |output: serde_json::Value| serde_json::to_string(&as_object(&output).unwrap()).unwrap();
        assert_eq!(text(serde_json::json!({"b": 1, "a": 2})), r#"{"b":1,"a":2}"#);
        assert_eq!(text(serde_json::json!([1, 2])), r#"{"result":[1,2]}"#);
        assert_eq!(text(serde_json::json!(null)), r#"{"result":null}"#);
    }
}
