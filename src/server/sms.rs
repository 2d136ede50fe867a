//! Text messages, by a gateway that takes them over HTTP.

use std::time::Duration;

use futures::future::BoxFuture;

use super::{
    config::{BadSetting, Config},
    mailer::SendError,
};

/// Sends text messages. Numbers are in E.164, with the plus in front.
pub trait SmsSender: Send + Sync {
    fn send<'a>(&'a self, to: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), SendError>>;
}

/// POSTs `{"to": …, "text": …}` with the token as bearer; any status of success means that it was taken.
pub struct Gateway {
    http: reqwest::Client,
    url: reqwest::Url,
    token: Option<String>,
}

impl Gateway {
    /// `None` when the settings name none.
    pub fn new(config: &Config) -> Result<Option<Self>, BadSetting> {
        let bad = |why: String| BadSetting { setting: "MOAT_SMS_URL", why };
        let Some(url) = &config.sms_url else { return Ok(None) };
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| bad(e.to_string()))?;
        let url = reqwest::Url::parse(url).map_err(|e| bad(e.to_string()))?;
        Ok(Some(Self { http, url, token: config.sms_token.clone() }))
    }
}

impl SmsSender for Gateway {
    fn send<'a>(&'a self, to: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let mut request = self.http.post(self.url.clone()).json(&serde_json::json!({ "to": to, "text": text }));
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            // A redirect is no success: it would not have been followed with the message.
            let answer = request.send().await?.error_for_status()?;
            if answer.status().is_success() { Ok(()) } else { Err(SendError::NoWay) }
        })
    }
}
