//! Media of a user's message: a URL that the provider fetches, or a `data:` URI that carries it.
use super::Error;

/// One image, document or recording.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Media<'a> {
    /// The provider fetches it.
    Url {
        /// Where from.
        url: &'a str,
        /// Guessed from the URL's ending; an image when it says nothing.
        mime: &'a str,
    },
    /// It comes with the message.
    Inline {
        /// The whole URI.
        uri: &'a str,
        /// Its media type.
        mime: &'a str,
        /// Its bytes in base64.
        data: &'a str,
    },
}

impl<'a> Media<'a> {
    /// Reads a URL or `data:` URI.
    pub(super) fn parse(text: &'a str) -> Result<Self, Error> {
        if text.starts_with("http://") || text.starts_with("https://") || text.starts_with("gs://") {
            return Ok(Self::Url { url: text, mime: mime_of(text) });
        }
        let inline = text.strip_prefix("data:").and_then(|rest| rest.split_once(','));
        match inline.map(|(head, data)| (head.strip_suffix(";base64"), data)) {
            Some((Some(head), data)) if !data.is_empty() => {
                let mime = head.split(';').next().filter(|m| m.contains('/')).unwrap_or("image/png");
                Ok(Self::Inline { uri: text, mime, data })
            }
            _ => {
                let start: String = text.chars().take(40).collect();
                Err(Error::Invalid(format!(
                    "media '{start}' is neither a URL nor a data URI; write https://… or data:image/png;base64,…"
                )))
            }
        }
    }

    /// The media type.
    pub(super) fn mime(&self) -> &str {
        match self {
            Self::Url { mime, .. } | Self::Inline { mime, .. } => mime,
        }
    }

    /// Whether it is an image.
    pub(super) fn is_image(&self) -> bool {
        self.mime().starts_with("image/")
    }
}

fn mime_of(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let ending = path.rsplit('.').next().unwrap_or("").to_ascii_lowercase();
    match ending.as_str() {
        "pdf" => "application/pdf",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => "image/jpeg",
    }
}
