//! From the profile and the environment to a client of the object store.

use std::sync::Arc;
use std::time::Duration;

use ::object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use ::object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use ::object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use ::object_store::local::LocalFileSystem;
use ::object_store::memory::InMemory;
use ::object_store::path::Path;
use ::object_store::{BackoffConfig, ClientConfigKey, Error, ObjectStore, ObjectStoreScheme, RetryConfig};
use bt_api::BuildError;
use url::Url;

use super::Config;

const EXAMPLES: &str = "such as \"s3://bucket/prefix\", \"file:///folder\" or \"memory:///\"";

/// The longest pause before a request is made again; the first is a tenth of a second, as the crate has it.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// More would wait for hours.
const MOST_RETRIES: u32 = 100;

/// The most that one request may take: a cloud gives up sooner.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// Looks at the profile alone: nothing is asked for over the network.
pub(super) fn check(config: &Config) -> Result<(), BuildError> {
    let scheme = scheme_of(&config.url)?;
    let (s3, azure) = (ObjectStoreScheme::AmazonS3, ObjectStoreScheme::MicrosoftAzure);
    if !config.endpoint.is_empty() {
        if scheme != s3 && scheme != azure {
            return Err(BuildError::new("endpoint", "is for S3 and Azure: leave it out"));
        }
        let endpoint = Url::parse(&config.endpoint).ok().filter(Url::has_host);
        match endpoint.as_ref().map(Url::scheme) {
            Some("https") => {}
            Some("http") if config.allow_http => {}
            Some("http") => {
                return Err(BuildError::new("endpoint", "is http://, which wants `allow-http = true`"));
            }
            _ => {
                let message = "must be an address such as \"https://minio.example:9000\"";
                return Err(BuildError::new("endpoint", message));
            }
        }
        if endpoint.is_some_and(|url| has_more(&url) || !url.username().is_empty()) {
            return Err(secret("endpoint"));
        }
    }
    if !config.region.is_empty() && scheme != s3 {
        return Err(BuildError::new("region", "is for S3: leave it out"));
    }
    if config.memory.0 == 0 {
        return Err(BuildError::new("memory", "must be at least 1 B"));
    }
    for (key, time) in [("connect-timeout", config.connect_timeout), ("timeout", config.timeout)] {
        if time.get() < Duration::from_millis(1) || time.get() > LONGEST_TIMEOUT {
            return Err(BuildError::new(key, "must be from 1 ms to 1 h"));
        }
    }
    if config.retries > MOST_RETRIES {
        return Err(BuildError::new("retries", format!("must be at most {MOST_RETRIES}")));
    }
    Ok(())
}

fn scheme_of(url: &str) -> Result<ObjectStoreScheme, BuildError> {
    if url.is_empty() {
        return Err(BuildError::unset("url", format!("must say where the objects go, {EXAMPLES}")));
    }
    let Ok(parsed) = Url::parse(url) else {
        return Err(BuildError::new("url", format!("must be a URL {EXAMPLES}")));
    };
    if has_more(&parsed) {
        return Err(secret("url"));
    }
    match ObjectStoreScheme::parse(&parsed) {
        Ok((ObjectStoreScheme::Http, _)) => {
            let message = "must name a bucket, such as \"s3://bucket/prefix\"; a server goes into `endpoint`";
            Err(BuildError::new("url", message))
        }
        Ok((scheme, _)) => Ok(scheme),
        Err(_) => Err(BuildError::new("url", format!("must be of a kind that is known, {EXAMPLES}"))),
    }
}

/// Whether there is something in it that may be secret.
fn has_more(url: &Url) -> bool {
    url.password().is_some() || url.query().is_some() || url.fragment().is_some()
}

/// The profile's text is shown beside a message of one of its keys: of this one it is not.
fn secret(key: &str) -> BuildError {
    let message = format!("({key}) must hold no password, `?` or `#`: credentials come from the environment");
    BuildError::new("storage", message)
}

/// A client, and the prefix that the `url` names. A profile that [`check`] passes may still fail here, for what the
/// environment says.
pub(super) fn connect(config: &Config) -> Result<(Arc<dyn ObjectStore>, Path), Error> {
    // As chosen for the whole program, unless it chose another one before: this one needs no C++ compiler or cmake.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let generic = |source| Error::Generic { store: "URL", source };
    let url = Url::parse(&config.url).map_err(|error| generic(error.into()))?;
    let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|error| generic(error.into()))?;
    let retry = RetryConfig {
        backoff: BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() },
        max_retries: config.retries as usize,
        retry_timeout: longest_call(config),
    };
    let options = client_options(config);
    let set = |value: &String| Some(value.clone()).filter(|value| !value.is_empty());
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new().with_fsync(true)),
        ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
        ObjectStoreScheme::AmazonS3 => {
            let mut builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
            for (key, value) in options {
                builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
            }
            for (key, value) in [
                (AmazonS3ConfigKey::Endpoint, set(&config.endpoint)),
                (AmazonS3ConfigKey::Region, set(&config.region)),
            ] {
                builder = value.into_iter().fold(builder, |builder, value| builder.with_config(key, value));
            }
            Arc::new(builder.build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(retry);
            for (key, value) in options {
                builder = builder.with_config(GoogleConfigKey::Client(key), value);
            }
            Arc::new(builder.build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry);
            for (key, value) in options {
                builder = builder.with_config(AzureConfigKey::Client(key), value);
            }
            if let Some(endpoint) = set(&config.endpoint) {
                builder = builder.with_config(AzureConfigKey::Endpoint, endpoint);
            }
            Arc::new(builder.build()?)
        }
        other => return Err(generic(format!("there is no client for {other:?}").into())),
    };
    Ok((store, prefix))
}

/// What the profile says of the HTTP client, over what the environment says.
fn client_options(config: &Config) -> Vec<(ClientConfigKey, String)> {
    let text = |time: bt_api::config::Duration| format!("{}ms", time.get().as_millis());
    let mut options = vec![
        (ClientConfigKey::ConnectTimeout, text(config.connect_timeout)),
        (ClientConfigKey::Timeout, text(config.timeout)),
    ];
    if config.allow_http {
        options.push((ClientConfigKey::AllowHttp, "true".to_owned()));
    }
    options
}

/// How long a call may take with all that is tried for it.
pub(super) fn longest_call(config: &Config) -> Duration {
    (config.timeout.get() + LONGEST_PAUSE) * (config.retries + 1)
}
