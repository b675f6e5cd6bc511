//! What went wrong at an object store, in one line: the crate's own messages have several, hold what the server says of
//! the request (its signature among it), and differ from run to run.

use ::object_store::Error;
use ::object_store::client::{HttpError, HttpErrorKind};
use bt_api::{StorageError, StorageErrorKind};

/// More than this of what a server says is noise.
const LONGEST: usize = 300;

/// Begin what the crate says of an answer that is no success; its type cannot be named.
const STATUS: [&str; 2] = ["Server returned non-2xx status code: ", "Server returned error response: "];

/// Where the machine itself is asked for credentials when the environment has none.
const INSTANCE: [&str; 2] = ["/latest/api/token", "/latest/meta-data/"];

/// The error that the crate's means, while `attempt` was tried.
pub(super) fn failed(attempt: &str, error: &Error) -> StorageError {
    let (kind, cause) = cause(error);
    told(kind, attempt, &cause)
}

/// An error of this store.
pub(super) fn told(kind: StorageErrorKind, attempt: &str, cause: &str) -> StorageError {
    StorageError::new(kind, format!("object-store: {attempt}: {cause}"))
}

fn cause(error: &Error) -> (StorageErrorKind, String) {
    use StorageErrorKind::{Corrupt, Denied, Missing, Other};
    // What an error is about stands in its own text as a rule and in its causes' too: the last one says it best.
    let (mut last, mut at_http, mut answer, mut credentials) = (error.to_string(), None, None, false);
    let mut io = None;
    let mut link = Some(error as &(dyn std::error::Error + 'static));
    while let Some(one) = link {
        last = one.to_string();
        credentials |= INSTANCE.iter().any(|path| last.contains(path));
        at_http = one.downcast_ref::<HttpError>().map(HttpError::kind).or(at_http);
        answer = STATUS.iter().find_map(|start| last.strip_prefix(start)).map(str::to_owned).or(answer);
        io = one.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(io);
        link = one.source();
    }
    if credentials {
        let hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        return (Denied, format!("the environment has no credentials ({hint}), nor has this machine a role"));
    }
    let by_variant = match error {
        Error::NotFound { .. } => Missing,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Denied,
        Error::Precondition { .. } => Corrupt,
        _ => Other,
    };
    if let Some(answer) = answer {
        let (kind, answer) = of_answer(&answer);
        return (if by_variant == Other { kind } else { by_variant }, answer);
    }
    if let Some(kind) = at_http {
        let what = match kind {
            HttpErrorKind::Connect => "no connection",
            HttpErrorKind::Timeout => "no answer in time",
            HttpErrorKind::Decode => "an answer that makes no sense",
            _ => "the connection broke",
        };
        return (by_variant, format!("{what}: {}", one_line(&last)));
    }
    if let Some(kind) = io {
        let error = StorageError::io("", kind.into());
        return (if by_variant == Other { error.kind() } else { by_variant }, one_line(&last));
    }
    // The object is shorter than it was.
    let shortened = last.starts_with("Wanted range starting at");
    (if shortened { Corrupt } else { by_variant }, one_line(&last))
}

/// The kind and the words of an answer: its status line, and the code and the message of a body in XML. Nothing else of
/// the body is shown, since it may repeat what was sent.
fn of_answer(answer: &str) -> (StorageErrorKind, String) {
    use StorageErrorKind::{Corrupt, Denied, Full, Other};
    let element = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0)
    };
    let status = answer.split([':', '<']).next().unwrap_or_default().trim();
    let code = element("Code");
    let kind = match (status.get(..3), code) {
        (Some("507"), _) | (_, Some("QuotaExceeded" | "XMinioStorageFull")) => Full,
        (Some("401" | "403"), _) => Denied,
        (Some("412" | "416"), _) => Corrupt,
        _ => Other,
    };
    let parts =
        [Some(status), code, element("Message")].into_iter().flatten().filter(|part| !part.is_empty());
    (kind, one_line(&parts.collect::<Vec<_>>().join(": ")))
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_its_code_and_message_are_shown() {
        let body = "<?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The request\nsignature does not \
                    match.</Message><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId><StringToSign>AWS4 SECRET</StringToSign></Error>";
        let (kind, text) = of_answer(&format!("403 Forbidden: {body}"));
        assert_eq!(kind, StorageErrorKind::Denied);
        assert_eq!(text, "403 Forbidden: SignatureDoesNotMatch: The request signature does not match.");
        assert_eq!(of_answer("500 Internal Server Error: AKIASECRET").1, "500 Internal Server Error");
        assert_eq!(of_answer("507 Insufficient Storage: ").0, StorageErrorKind::Full);
        assert_eq!(of_answer("").1, "");
    }

    #[test]
    fn a_line_is_one_line_and_not_long() {
        assert_eq!(one_line("a\n\tb\u{1b}[31m c"), "a b [31m c");
        assert_eq!(one_line(&"ä".repeat(1000)).chars().count(), LONGEST);
    }
}
