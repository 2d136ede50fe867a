use serde::{Deserialize, Serialize};

use crate::{
    error::AppError,
    types::{DeliveryId, SecretId, WebhookId},
};

/// Everything of the relay that is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Id, name, and seconds since it was shown last.
    pub secrets: Vec<(SecretId, String, Option<i64>)>,
    pub webhooks: Vec<(WebhookId, String)>,
    /// What was given up, the newest first.
    pub dead: Vec<Dead>,
    /// How much is still to be sent.
    pub waiting: i64,
    /// Where this server is reached.
    pub origin: String,
}

/// Something that could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    pub id: DeliveryId,
    pub url: String,
    pub tries: i32,
    pub why: String,
    /// Seconds ago.
    pub since: i64,
}

/// A secret, at the only moment at which it can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub secret: String,
}

/// What a relay posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incoming {
    /// The sender's own id of the message: the same one with the same text stores it once.
    pub message_id: String,
    pub customer: IncomingCustomer,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingCustomer {
    /// What the sender calls this customer: their one conversation hangs on it.
    pub id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub email: String,
}

impl Incoming {
    /// Refuses what could not be stored.
    pub fn checked(self) -> Result<Self, AppError> {
        let id = |field: &str, value: &str| {
            let fits = !value.is_empty() && value.chars().count() <= 200 && !value.contains('\0');
            if fits { Ok(()) } else { Err(AppError::invalid(field, "Between 1 and 200 characters.")) }
        };
        id("message_id", &self.message_id)?;
        id("customer.id", &self.customer.id)?;
        let name = crate::widget::model::name(&self.customer.name)?;
        let email = self.customer.email.trim().to_owned();
        if email.len() > 320 || email.contains('\0') || !(email.is_empty() || email.contains('@')) {
            return Err(AppError::invalid("customer.email", "This is no address."));
        }
        let text = crate::widget::model::words(&self.text)?;
        Ok(Self { customer: IncomingCustomer { name, email, ..self.customer }, text, ..self })
    }
}

/// Where answers go.
pub fn url(typed: &str) -> Result<String, AppError> {
    let url = typed.trim();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = url.chars().all(|c| c.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !plain || url.len() > 500 {
        return Err(AppError::invalid("url", "Write an address like https://www.example.org/hook."));
    }
    Ok(url.to_owned())
}

/// Seconds until what was not taken is sent again, after so many tries; `None`: it is given up.
pub fn again_after(tries: i32) -> Option<u32> {
    [5, 30, 120, 600, 1800, 7200, 28_800].get(usize::try_from(tries - 1).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_whole_and_names_no_account() {
        assert_eq!(url(" https://www.example.org/hook?a=b ").unwrap(), "https://www.example.org/hook?a=b");
        for wrong in
            ["www.example.org", "ftp://a.example", "https://", "https://me:pw@a.example/", "https://a b.example"]
        {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_taken_is_sent_later_and_later_and_then_given_up() {
        let waits: Vec<_> = (1..9).map(again_after).collect();
        assert_eq!(waits[..2], [Some(5), Some(30)]);
        assert!(waits.windows(2).take(6).all(|w| w[0] < w[1]));
        assert_eq!(waits[7], None);
    }
}
