//! Signatures of what webhooks are told: those of standardwebhooks.com, which receivers have libraries for.
//!
//! `webhook-signature: v1,` and the base64 of HMAC-SHA-256 over `id.timestamp.body`, under the key that stands in base64 after
//! `whsec_`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

const PREFIX: &str = "whsec_";

/// A secret that nobody has had before.
#[must_use]
pub fn new_secret() -> String {
    let key = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat();
    format!("{PREFIX}{}", STANDARD.encode(key))
}

/// A secret that somebody gave, with the prefix that it is stored with; or what is wrong with it.
///
/// # Errors
///
/// It is no base64 of 24 to 64 bytes.
pub fn read_secret(given: &str) -> Result<String, &'static str> {
    let key = given.trim();
    let key = key.strip_prefix(PREFIX).unwrap_or(key);
    match STANDARD.decode(key) {
        Ok(bytes) if (24..=64).contains(&bytes.len()) => Ok(format!("{PREFIX}{key}")),
        _ => Err("secret: must be whsec_ and 24 to 64 bytes in base64, or left out"),
    }
}

/// The signature of a body; `None` when the secret is none.
pub(super) fn signature(secret: &str, id: &str, at: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_the_standard_says() {
        // The example of the standard's own test suite.
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn secrets_are_checked() {
        assert!(read_secret(&new_secret()).is_ok());
        assert_ne!(new_secret(), new_secret());
        assert_eq!(
            read_secret(" MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ").as_deref(),
            Ok("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        );
        for wrong in ["", "whsec_", "whsec_short", "whsec_!!!!"] {
            assert!(read_secret(wrong).is_err(), "{wrong}");
        }
    }
}
