//! The providers that Tenure knows, as data, and the registry that sends a request to the right one.
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::HeaderName;

use super::demo::{self, Demo};
use super::http::{Http, Target};
use super::openai::{self, Dialect};
use super::{Error, LiveTokens, Model, Reply, Request, Say, anthropic, gemini};

/// How long a whole request may take unless `TENURE_MODEL_TIMEOUT_SECS` says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// Which wire format a provider speaks.
#[derive(Debug, Clone, Copy)]
enum Wire {
    OpenAi(Dialect),
    Anthropic,
    Gemini,
}

/// A provider: what it is called and what the environment says about it.
#[derive(Debug)]
struct Provider {
    /// Its name and others that agents may use.
    names: &'static [&'static str],
    wire: Wire,
    /// Variables that may hold the key; the first one is named in texts. Empty: it needs none.
    keys: &'static [&'static str],
    /// Variables that may hold the base URL; the first one is named in texts.
    bases: &'static [&'static str],
    /// The base URL otherwise. Its path also completes a base URL that has none.
    base: &'static str,
    /// How the key is sent.
    key_header: &'static str,
    key_prefix: &'static str,
}

/// Where a provider has no address of its own: every customer has another host.
const PER_CUSTOMER: &str = "https://set-the-base-url.invalid";

const fn compatible(
    names: &'static [&'static str],
    keys: &'static [&'static str],
    bases: &'static [&'static str],
    base: &'static str,
) -> Provider {
    let wire = Wire::OpenAi(openai::COMPATIBLE);
    Provider { names, wire, keys, bases, base, key_header: "authorization", key_prefix: "Bearer " }
}

#[rustfmt::skip]
static PROVIDERS: &[Provider] = &[
    Provider {
        wire: Wire::OpenAi(openai::OPENAI),
        ..compatible(&["openai"], &["OPENAI_API_KEY"], &["OPENAI_BASE_URL"], "https://api.openai.com/v1")
    },
    Provider {
        names: &["anthropic"], wire: Wire::Anthropic, keys: &["ANTHROPIC_API_KEY"],
        bases: &["ANTHROPIC_BASE_URL"], base: "https://api.anthropic.com",
        key_header: "x-api-key", key_prefix: "",
    },
    Provider {
        names: &["google_gemini", "gemini", "google"], wire: Wire::Gemini,
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"], bases: &["GEMINI_BASE_URL"],
        base: "https://generativelanguage.googleapis.com",
        key_header: "x-goog-api-key", key_prefix: "",
    },
    Provider {
        wire: Wire::OpenAi(openai::OPENAI), key_header: "api-key", key_prefix: "",
        ..compatible(&["azure_openai", "azureopenai"], &["AZURE_OPENAI_API_KEY"],
            &["AZURE_OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"], "https://set-the-base-url.invalid/openai/v1")
    },
    compatible(&["ollama"], &[], &["OLLAMA_HOST"], "http://localhost:11434/v1"),
    Provider {
        wire: Wire::OpenAi(openai::MISTRAL),
        ..compatible(&["mistral"], &["MISTRAL_API_KEY"], &["MISTRAL_BASE_URL"], "https://api.mistral.ai/v1")
    },
    compatible(&["grok", "xai"], &["XAI_API_KEY"], &["GROK_BASE_URL", "XAI_BASE_URL"], "https://api.x.ai/v1"),
    compatible(&["perplexity"], &["PERPLEXITY_API_KEY"], &["PERPLEXITY_BASE_URL"], "https://api.perplexity.ai"),
    compatible(&["cohere"], &["COHERE_API_KEY"], &["COHERE_BASE_URL"], "https://api.cohere.ai/compatibility/v1"),
    compatible(&["groq"], &["GROQ_API_KEY"], &["GROQ_BASE_URL"], "https://api.groq.com/openai/v1"),
    compatible(&["deepseek"], &["DEEPSEEK_API_KEY"], &["DEEPSEEK_BASE_URL"], "https://api.deepseek.com/v1"),
    compatible(&["openrouter"], &["OPENROUTER_API_KEY"], &["OPENROUTER_BASE_URL"], "https://openrouter.ai/api/v1"),
    compatible(&["huggingface"], &["HUGGINGFACE_API_KEY", "HF_TOKEN"], &["HUGGINGFACE_BASE_URL"], "https://router.huggingface.co/v1"),
    compatible(&["together"], &["TOGETHER_API_KEY"], &["TOGETHER_BASE_URL"], "https://api.together.xyz/v1"),
    compatible(&["fireworks"], &["FIREWORKS_API_KEY"], &["FIREWORKS_BASE_URL"], "https://api.fireworks.ai/inference/v1"),
];

/// A provider with what the environment holds for it.
struct Configured {
    provider: &'static Provider,
    key: Option<String>,
    /// The environment's base URL, if any.
    base: Option<Url>,
    /// Azure: the deployment that answers, whatever the model's name.
    deployment: Option<String>,
    /// It has once answered piece by piece and said nothing of tokens: it isn't asked to again, so that costs are known.
    counts_nothing: AtomicBool,
}

/// Every model that this server can ask.
pub struct Models {
    http: Http,
    providers: Vec<Configured>,
    demo: Demo,
    live_tokens: LiveTokens,
}

impl Models {
    /// How long one request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.http.timeout()
    }

    /// Reads keys, base URLs, `TENURE_MODEL_TIMEOUT_SECS`, `TENURE_LIVE_TOKENS` and `TENURE_DEMO_SCRIPT` through
    /// `env` (`main` passes the process environment). An empty variable counts as unset.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the variable that can't be used and how to write it.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let env = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let timeout = match env("TENURE_MODEL_TIMEOUT_SECS") {
            None => DEFAULT_TIMEOUT,
            Some(text) => match text.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok()) {
                Some(timeout) if !timeout.is_zero() => timeout,
                _ => {
                    let problem = "is no number of seconds above 0; write for example 600";
                    return Err(Error::Invalid(format!("TENURE_MODEL_TIMEOUT_SECS '{text}' {problem}")));
                }
            },
        };
        let providers = PROVIDERS.iter().map(|p| Configured::from_env(p, &env)).collect::<Result<_, _>>()?;
        let demo = Demo::new(env("TENURE_DEMO_SCRIPT").as_deref())?;
        let live_tokens = match env("TENURE_LIVE_TOKENS").as_deref() {
            None | Some("watched") => LiveTokens::Watched,
            Some("always") => LiveTokens::Always,
            Some("never") => LiveTokens::Never,
            Some(other) => {
                let problem = "is none of watched, always, never";
                return Err(Error::Invalid(format!("TENURE_LIVE_TOKENS '{other}' {problem}")));
            }
        };
        Ok(Self { http: Http::new(timeout)?, providers, demo, live_tokens })
    }

    /// Whether this server can ask models of `provider` for agents without a base URL of their own
    /// (an agent's own base URL needs no key here).
    ///
    /// # Errors
    /// The reason, for people: which variable to set, or which providers there are.
    pub fn configured(&self, provider: &str) -> Result<(), String> {
        if provider.eq_ignore_ascii_case("demo") {
            return Ok(());
        }
        self.find(provider).and_then(|c| c.ready(false)).map_err(|e| e.to_string())
    }

    fn find(&self, provider: &str) -> Result<&Configured, Error> {
        let named = |c: &&Configured| c.provider.names.iter().any(|n| n.eq_ignore_ascii_case(provider));
        self.providers.iter().find(named).ok_or_else(|| {
            let known: Vec<&str> = PROVIDERS.iter().map(|p| p.names[0]).collect();
            Error::NotConfigured(format!(
                "Model provider '{provider}' is not known to this server. Known are demo, {}.",
                known.join(", ")
            ))
        })
    }
}

#[async_trait]
impl Model for Models {
    async fn complete(&self, request: &Request) -> Result<Reply, Error> {
        self.ask(request, None).await
    }

    async fn complete_aloud(&self, request: &Request, say: Say<'_>) -> Result<Reply, Error> {
        self.ask(request, Some(say)).await
    }

    fn live_tokens(&self) -> LiveTokens {
        self.live_tokens
    }
}

impl Models {
    #[tracing::instrument(skip_all, fields(execution.id = %request.execution, turn = request.turn, model = %request.model))]
    async fn ask(&self, request: &Request, say: Option<Say<'_>>) -> Result<Reply, Error> {
        if request.model.provider == "demo" {
            let reply = self.demo.complete(request).await?;
            if let Some(say) = say {
                demo::speak(&reply.text, say).await;
            }
            return Ok(reply);
        }
        let configured = self.find(&request.model.provider)?;
        let own = request.base_url.as_deref().map(str::trim).filter(|u| !u.is_empty());
        configured.ready(own.is_some())?;
        let target = configured.target(own)?;
        let model = configured.deployment.as_deref().unwrap_or(&request.model.name);
        match configured.provider.wire {
            Wire::OpenAi(dialect) => {
                let say = say.filter(|_| !configured.counts_nothing.load(Relaxed));
                let is_aloud = say.is_some();
                let reply = openai::complete(&self.http, &target, dialect, model, request, say).await?;
                if is_aloud && reply.usage.total == 0 {
                    configured.counts_nothing.store(true, Relaxed);
                    tracing::warn!(
                        provider = target.provider,
                        "counts no tokens when it answers piece by piece; it is not asked to any more"
                    );
                }
                Ok(reply)
            }
            Wire::Anthropic => anthropic::complete(&self.http, &target, model, request).await,
            Wire::Gemini => gemini::complete(&self.http, &target, model, request).await,
        }
    }
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ready = self.providers.iter().filter(|c| c.ready(false).is_ok()).map(|c| c.provider.names[0]);
        f.debug_struct("Models").field("configured", &ready.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Configured {
    fn from_env(provider: &'static Provider, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let key = provider.keys.iter().find_map(|name| env(name));
        let base = provider.bases.iter().find_map(|name| env(name).map(|url| (name, url)));
        let base = base.map(|(name, url)| provider.base_url(name, &url)).transpose()?;
        let azure = provider.names[0] == "azure_openai";
        let deployment = azure.then(|| env("AZURE_OPENAI_DEPLOYMENT")).flatten();
        Ok(Self { provider, key, base, deployment, counts_nothing: AtomicBool::new(false) })
    }

    /// A key is needed unless somebody pointed us at another server than the provider's own: local
    /// servers ask for none.
    fn ready(&self, own_base: bool) -> Result<(), Error> {
        let elsewhere = own_base || self.base.is_some();
        let missing = if !elsewhere && self.provider.base.starts_with(PER_CUSTOMER) {
            self.provider.bases[0]
        } else if !elsewhere && self.key.is_none() && !self.provider.keys.is_empty() {
            self.provider.keys[0]
        } else {
            return Ok(());
        };
        Err(Error::NotConfigured(format!(
            "Model provider '{}' is not configured on the server. Set {missing} in the server's environment \
             and start it again.",
            self.provider.names[0]
        )))
    }

    fn target(&self, own_base: Option<&str>) -> Result<Target<'_>, Error> {
        let provider = self.provider;
        let base = match (own_base, &self.base) {
            (Some(own), _) => provider.base_url("the agent's base URL", own)?,
            (None, Some(base)) => base.clone(),
            (None, None) => provider.base_url("default", provider.base)?,
        };
        Ok(Target {
            provider: provider.names[0],
            base,
            key: self.key.as_deref(),
            key_header: HeaderName::from_static(provider.key_header),
            key_prefix: provider.key_prefix,
            key_variable: provider.keys.first().unwrap_or(&"its key"),
        })
    }
}

impl Provider {
    /// Reads a base URL: http or https, completed with the provider's usual path when it has none.
    fn base_url(&self, from: &str, text: &str) -> Result<Url, Error> {
        let bad = |why: &str| {
            Error::Invalid(format!("{from} is no usable base URL ({why}); write it like {}", self.base))
        };
        // Ollama's own variable holds a host, with or without a port.
        let text = match text.contains("://") {
            false if self.names[0] == "ollama" && text.contains(':') => format!("http://{text}"),
            false if self.names[0] == "ollama" => format!("http://{text}:11434"),
            _ => text.to_owned(),
        };
        let mut url = Url::parse(&text).map_err(|e| bad(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it starts with neither http:// nor https://"));
        }
        if url.path() == "/" {
            let usual = Url::parse(self.base).expect("the table's base URLs are valid");
            url.set_path(usual.path());
        }
        let path = url.path().trim_end_matches('/').trim_end_matches("/chat/completions").to_owned();
        url.set_path(&path);
        Ok(url)
    }
}
