//! Connections to Postgres: where, as whom, how encrypted, with which timeouts.
//!
//! On a socket or loopback nothing is encrypted. Beyond that TLS with a checked certificate is the
//! default; a url's `sslmode` decides otherwise, with libpq's meanings:
//!
//! | `sslmode` | encrypted | certificate checked |
//! |---|---|---|
//! | `disable` | no | |
//! | `prefer`, `allow` | if the server can | no |
//! | `require` | yes | no |
//! | `verify-full`, `verify-ca`, none given | yes | yes, with the host's name |
//!
//! `sslrootcert=FILE` replaces the system's certificate authorities.

use std::{
    fmt,
    fmt::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_postgres::{
    Client, Socket,
    config::{Host, SslMode, TargetSessionAttrs},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Error, home::PORT};

/// The database and the superuser of a private cluster.
pub(super) const DATABASE: &str = "tenure";
pub(super) const USER: &str = "tenure";

/// No statement of ours is meant to take long, and a transaction that idles holds rows.
const SESSION_OPTIONS: &str =
    "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=10s";

/// For statements that look up rows by their keys all day: planned once, and by index, whatever the statistics say. Of a table
/// that has just been filled or restored they say nothing, and plans that change by themselves are found by nobody.
const KEYED_OPTIONS: &str = "-c plan_cache_mode=force_generic_plan -c jit=off -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off";

/// The half of a connection that does its I/O; it must be polled for the [`Client`] to work.
pub type Connection =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// How to connect to one database. Never shows its password.
#[derive(Clone)]
pub struct Config {
    driver: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    encryption: Encryption,
}

/// What the url asked for, kept for showing it and for `psql`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Encryption {
    mode: &'static str,
    authorities: Option<PathBuf>,
}

impl Config {
    /// Reads a url or libpq's `key=value` string.
    ///
    /// # Errors
    ///
    /// [`Error::Url`], with a text that doesn't contain the password; [`Error::File`] when the
    /// certificate authorities can't be read.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let mut config = Self::parse_bare(url)?;
        let theirs = config.driver.get_options().unwrap_or_default();
        let options = format!("{SESSION_OPTIONS} {theirs}"); // what the url says comes last and wins
        config.driver.options(options.trim_end());
        Ok(config)
    }

    /// As [`Config::parse`], but without our session settings, which some poolers refuse at connect.
    pub(super) fn parse_bare(url: &str) -> Result<Self, Error> {
        let (rest, wanted) = split_encryption(url)?;
        let mut driver: tokio_postgres::Config =
            rest.parse().map_err(|e| Error::Url(super::error::reason(&e)))?;
        if driver.get_hosts().is_empty() && driver.get_hostaddrs().is_empty() {
            let usual = Path::new("/var/run/postgresql");
            driver.host_path(if usual.is_dir() { usual } else { Path::new("/tmp") });
        }
        let mode = wanted.mode.unwrap_or(if is_local(&driver) { "disable" } else { "verify-full" });
        driver.ssl_mode(match mode {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let encryption = Encryption { mode, authorities: wanted.authorities };
        let tls = MakeRustlsConnect::new(encryption.client_config()?);
        set_timeouts(&mut driver);
        if driver.get_hosts().len() > 1 && !rest.contains("target_session_attrs") {
            driver.target_session_attrs(TargetSessionAttrs::ReadWrite); // of several, the primary is meant
        }
        Ok(Self { driver, tls, encryption })
    }

    /// Our database in the private cluster with this socket.
    pub(super) fn socket(directory: &Path) -> Self {
        let mut driver = tokio_postgres::Config::new();
        driver
            .host_path(directory)
            .port(PORT)
            .user(USER)
            .dbname(DATABASE)
            .ssl_mode(SslMode::Disable)
            .options(SESSION_OPTIONS);
        set_timeouts(&mut driver);
        let encryption = Encryption { mode: "disable", authorities: None };
        let tls = MakeRustlsConnect::new(trusting(RootCertStore::empty()));
        Self { driver, tls, encryption }
    }

    /// Chooses another database of the same server.
    pub fn dbname(&mut self, name: &str) -> &mut Self {
        self.driver.dbname(name);
        self
    }

    /// The password, for programs that take it from their environment.
    pub(super) fn password(&self) -> Option<&std::ffi::OsStr> {
        use std::os::unix::ffi::OsStrExt as _;
        self.driver.get_password().map(std::ffi::OsStr::from_bytes)
    }

    /// The same for statements that look up rows by their keys. What the url says comes last and wins; behind a pooler that
    /// takes no settings it is the same without them.
    #[must_use]
    pub fn keyed(&self) -> Self {
        let mut keyed = self.clone();
        if let Some(options) = self.driver.get_options() {
            keyed.driver.options(format!("{KEYED_OPTIONS} {options}"));
        }
        keyed
    }

    /// The driver's part of it.
    #[must_use]
    pub fn driver(&self) -> &tokio_postgres::Config {
        &self.driver
    }

    /// Opens one connection.
    ///
    /// # Errors
    ///
    /// The driver's, when the server can't be reached or refuses.
    pub async fn connect(&self) -> Result<(Client, Connection), Error> {
        Ok(self.driver.connect(self.tls.clone()).await?)
    }

    /// A pool of at most `size` connections, opened as they are needed. Waiting for one ends after 2 s.
    ///
    /// # Errors
    ///
    /// When the pool can't be built.
    pub fn pool(&self, size: usize) -> Result<Pool, Error> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.driver.clone(), self.tls.clone(), recycling);
        let timeouts = Timeouts {
            wait: Some(Duration::from_secs(2)),
            create: Some(Duration::from_secs(6)),
            recycle: Some(Duration::from_secs(2)),
        };
        Ok(Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1).timeouts(timeouts).build()?)
    }

    /// The url without its password, for people and for `psql`.
    #[must_use]
    pub fn url(&self) -> String {
        let mut url = "postgres://".to_owned();
        let user = self.driver.get_user().unwrap_or_default();
        let hosts = self.driver.get_hosts();
        let mut query = Vec::new();
        let sockets = || {
            hosts.iter().map(|host| match host {
                Host::Unix(directory) => directory.to_string_lossy(),
                Host::Tcp(name) => name.as_str().into(),
            })
        };
        if let [Host::Unix(_), ..] = hosts {
            query.push(("host", sockets().collect::<Vec<_>>().join(",")));
            query.push(("user", user.to_owned()));
        } else {
            if !user.is_empty() {
                let _ = write!(url, "{}@", escape(user));
            }
            url += &self.tcp_hosts().join(",");
        }
        let _ = write!(url, "/{}", escape(self.driver.get_dbname().unwrap_or(user)));
        if self.encryption.mode != "disable" {
            query.push(("sslmode", self.encryption.mode.to_owned()));
        }
        match &self.encryption.authorities {
            Some(file) => query.push(("sslrootcert", file.to_string_lossy().into_owned())),
            None if self.encryption.mode.starts_with("verify") => {
                query.push(("sslrootcert", "system".to_owned()));
            }
            None => {}
        }
        for (index, (key, value)) in query.iter().enumerate() {
            let _ = write!(url, "{}{key}={}", if index == 0 { '?' } else { '&' }, escape(value));
        }
        url
    }

    fn tcp_hosts(&self) -> Vec<String> {
        let ports = self.driver.get_ports();
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(PORT);
        let named = self.driver.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
            Host::Tcp(name) => name.clone(),
            Host::Unix(directory) => escape(&directory.to_string_lossy()),
        });
        let named: Vec<_> = named.collect();
        let numbered = || self.driver.get_hostaddrs().iter().map(ToString::to_string).collect();
        let hosts = if named.is_empty() { numbered() } else { named };
        hosts.iter().enumerate().map(|(index, host)| format!("{host}:{}", port(index))).collect()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Config").field(&self.url()).finish()
    }
}

fn set_timeouts(driver: &mut tokio_postgres::Config) {
    if driver.get_application_name().is_none() {
        driver.application_name("tenure");
    }
    if driver.get_connect_timeout().is_none() {
        driver.connect_timeout(Duration::from_secs(5));
    }
    // Whose other end has vanished without a word is given up after 30 s while it is spoken to, after a minute in silence.
    // What the url says goes first.
    if driver.get_tcp_user_timeout().is_none() {
        driver.tcp_user_timeout(Duration::from_secs(30));
    }
    if driver.get_keepalives_idle() == tokio_postgres::Config::new().get_keepalives_idle() {
        driver.keepalives_idle(Duration::from_secs(30));
    }
    if driver.get_keepalives_interval().is_none() {
        driver.keepalives_interval(Duration::from_secs(10));
    }
    if driver.get_keepalives_retries().is_none() {
        driver.keepalives_retries(3);
    }
}

/// Whether no host of it is beyond this machine.
fn is_local(driver: &tokio_postgres::Config) -> bool {
    let local_name =
        |name: &str| name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let hosts = driver.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => local_name(name),
    });
    hosts && driver.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// The encryption settings of a url, if it has them.
#[derive(Default)]
struct Wanted {
    mode: Option<&'static str>,
    authorities: Option<PathBuf>,
}

/// Takes out of a url what the driver doesn't understand.
fn split_encryption(url: &str) -> Result<(String, Wanted), Error> {
    let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let (base, settings, separator) = match url.split_once('?') {
        Some((base, query)) if is_url => (format!("{base}?"), query, '&'),
        _ if is_url => (url.to_owned(), "", '&'),
        _ => (String::new(), url, ' '),
    };
    let mut wanted = Wanted::default();
    let mut kept = Vec::new();
    for setting in settings.split(separator) {
        match setting.split_once('=') {
            Some(("sslmode", mode)) => wanted.mode = Some(known_mode(mode)?),
            Some(("sslrootcert", "system")) => wanted.authorities = None,
            Some(("sslrootcert", file)) => wanted.authorities = Some(PathBuf::from(unescape(file))),
            // libpq takes several hosts in one setting, the driver one in each.
            Some(("host", hosts)) if is_url => {
                kept.extend(hosts.split(',').map(|host| format!("host={host}")));
            }
            _ => kept.push(setting.to_owned()),
        }
    }
    let rest = base + kept.join(&separator.to_string()).as_str();
    Ok((rest.trim_end_matches('?').to_owned(), wanted))
}

fn known_mode(mode: &str) -> Result<&'static str, Error> {
    const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    let known = MODES.into_iter().find(|known| *known == mode);
    known.ok_or_else(|| Error::Url(format!("its sslmode is none of {}", MODES.join(", "))))
}

impl Encryption {
    fn client_config(&self) -> Result<ClientConfig, Error> {
        match self.mode {
            "disable" => Ok(trusting(RootCertStore::empty())),
            "allow" | "prefer" | "require" => {
                let mut config = trusting(RootCertStore::empty());
                config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate(provider())));
                Ok(config)
            }
            _ => Ok(trusting(self.authorities()?)),
        }
    }

    fn authorities(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        let Some(file) = &self.authorities else {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(store);
        };
        let unreadable = |e: &dyn fmt::Display| {
            Error::file("can't read the certificates in", file)(std::io::Error::other(e.to_string()))
        };
        for certificate in CertificateDer::pem_file_iter(file).map_err(|e| unreadable(&e))? {
            let certificate = certificate.map_err(|e| unreadable(&e))?;
            store.add(certificate).map_err(|e| unreadable(&e))?;
        }
        Ok(store)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn trusting(authorities: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports the protocol versions that rustls enables")
        .with_root_certificates(authorities)
        .with_no_client_auth()
}

/// For `sslmode=require` and below: encrypts with whoever answers, as libpq does.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Percent-encodes what a url can't hold as it is.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/,".contains(&byte);
    text.bytes().fold(String::new(), |mut url, byte| {
        if plain(byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}

/// Undoes [`escape`]; a stray `%` stays.
fn unescape(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        if let Some(byte) = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            bytes.extend_from_slice(&piece.as_bytes()[2..]);
        } else {
            bytes.push(b'%');
            bytes.extend_from_slice(piece.as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> &'static str {
        Config::parse(url).unwrap().encryption.mode
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_clear_by_default() {
        assert_eq!(mode("postgres://me@localhost/db"), "disable");
        assert_eq!(mode("postgres://me@127.0.0.1:5433/db"), "disable");
        assert_eq!(mode("postgres:///db?host=/run/postgresql"), "disable");
        assert_eq!(mode("host=/run/postgresql dbname=db"), "disable");
        assert_eq!(mode("postgres://me@db.example/db"), "verify-full");
        assert_eq!(mode("host=10.1.2.3 user=me"), "verify-full");
        assert_eq!(mode("postgres://me@localhost,db.example/db"), "verify-full");
    }

    #[test]
    fn the_url_decides_otherwise() {
        assert_eq!(mode("postgres://me@db.example/db?sslmode=disable"), "disable");
        assert_eq!(mode("postgres://me@db.example/db?connect_timeout=3&sslmode=require"), "require");
        assert_eq!(mode("host=localhost user=me sslmode=verify-full"), "verify-full");
        let error = Config::parse("postgres://me:secret@db.example/db?sslmode=maybe").unwrap_err();
        assert!(error.to_string().contains("sslmode"), "{error}");
    }

    #[test]
    fn a_password_is_never_shown() {
        let texts = [
            "postgres://me:se%20cret@db.example:6432/my%20db?sslmode=require",
            "host=h user=me password=secret",
        ];
        for text in texts {
            let config = Config::parse(text).unwrap();
            let shown = format!("{config:?} {}", config.url());
            assert!(!shown.contains("cret"), "{shown}");
        }
        let config = Config::parse(texts[0]).unwrap();
        assert_eq!(config.url(), "postgres://me@db.example:6432/my%20db?sslmode=require");

        for broken in ["postgres://me:secret@host:port/db", "postgres://me:secret@host/db?secret=x", "secret"]
        {
            let error = Config::parse(broken).unwrap_err().to_string();
            assert!(!error.contains("secret@"), "{error}");
        }
    }

    #[test]
    fn the_shown_url_means_the_same_to_psql() {
        let config = Config::parse("postgres://me@db.example/db").unwrap();
        assert_eq!(config.url(), "postgres://me@db.example:5432/db?sslmode=verify-full&sslrootcert=system");
        assert_eq!(Config::parse(&config.url()).unwrap().url(), config.url());
    }

    #[test]
    fn a_socket_is_shown_as_psql_takes_it() {
        let config = Config::socket(Path::new("/var/lib/ten ure/socket"));
        assert_eq!(config.url(), "postgres:///tenure?host=/var/lib/ten%20ure/socket&user=tenure");
        assert_eq!(Config::parse(&config.url()).unwrap().url(), config.url());
    }

    #[test]
    fn of_several_hosts_the_one_that_takes_writes_is_meant() {
        let attributes = |url: &str| Config::parse(url).unwrap().driver.get_target_session_attrs();
        assert_eq!(attributes("postgres:///db?host=/a"), TargetSessionAttrs::Any);
        assert_eq!(attributes("postgres:///db?host=/a,/b"), TargetSessionAttrs::ReadWrite);
        assert_eq!(attributes("postgres://a,b/db?sslmode=disable"), TargetSessionAttrs::ReadWrite);
        assert_eq!(attributes("postgres://a,b/db?target_session_attrs=any"), TargetSessionAttrs::Any);
        let config = Config::parse("postgres:///db?host=/a,/b&user=me").unwrap();
        assert_eq!(config.url(), "postgres:///db?host=/a,/b&user=me");
    }

    #[test]
    fn a_vanished_server_is_given_up_in_time() {
        let config = Config::parse("postgres://localhost/db").unwrap();
        let driver = config.driver();
        assert_eq!(driver.get_tcp_user_timeout(), Some(&Duration::from_secs(30)));
        assert!(driver.get_keepalives());
        assert_eq!(driver.get_keepalives_idle(), Duration::from_secs(30));
        assert_eq!(driver.get_keepalives_interval(), Some(Duration::from_secs(10)));
        assert_eq!(driver.get_keepalives_retries(), Some(3));

        let own = "tcp_user_timeout=5&keepalives_idle=7&keepalives_interval=2&keepalives_retries=1";
        let config = Config::parse(&format!("postgres://localhost/db?{own}")).unwrap();
        let driver = config.driver();
        assert_eq!(driver.get_tcp_user_timeout(), Some(&Duration::from_secs(5)));
        assert_eq!(driver.get_keepalives_idle(), Duration::from_secs(7));
        assert_eq!(driver.get_keepalives_interval(), Some(Duration::from_secs(2)));
        assert_eq!(driver.get_keepalives_retries(), Some(1));
    }

    #[test]
    fn the_urls_own_session_options_win() {
        let config = Config::parse("postgres://localhost/db?options=-c%20statement_timeout%3D1s").unwrap();
        assert!(config.driver().get_options().unwrap().ends_with("-c statement_timeout=1s"));
    }
}
