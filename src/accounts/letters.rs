//! What mail says. Short, plain, and never a word that somebody else could have chosen.

use super::model::Letter;

/// Before what ends when the link is used: whoever made the account may be somebody else.
const FIRST: &str = "Nobody has confirmed this address before. With the link the account becomes yours alone.";

/// The letter for what `app.prepare_mail` decided on; `None` for nothing. `origin` is our address, `token` the link's.
pub fn letter(what: &str, origin: &str, token: &str) -> Option<Letter> {
    let link = format!("{origin}/link?t={token}");
    let (subject, text) = match what {
        "sign-up" => (
            "Finish your account",
            format!(
                "Somebody, probably you, wants an account at {origin} with this address.\n\n\
                 To make it, open this link and enter the password that you chose:\n\n{link}\n\n\
                 The link works once, for a day. If it was not you, do nothing: then no account is made."
            ),
        ),
        "exists" => (
            "You have an account already",
            format!(
                "Somebody, probably you, wants an account at {origin} with this address. There is one already, and nothing was changed.\n\n\
                 Sign in: {origin}/sign-in\nForgotten the password: {origin}/reset\n\n\
                 If it was not you, do nothing."
            ),
        ),
        "waiting" => (
            "You are on the waiting list",
            format!(
                "Somebody, probably you, wants an account at {origin} with this address. There is one already, which waits to be let in, and nothing was changed.\n\n\
                 Whoever runs the server lets it in, or an invitation does, or a workspace that is for all addresses at your domain.\n\n\
                 If it was not you, do nothing."
            ),
        ),
        "closed" => (
            "Your account is closed",
            format!(
                "Somebody, probably you, wants to get in at {origin} with this address. Its account is closed.\n\n\
                 Whoever runs the server can open it again."
            ),
        ),
        "reset" => (
            "Set a new password",
            format!(
                "Somebody, probably you, wants a new password for the account at {origin} with this address.\n\n\
                 To choose one, open this link:\n\n{link}\n\n\
                 The link works once, for an hour. If it was not you, do nothing: the password stays as it is."
            ),
        ),
        "reset-first" => (
            "Set a new password",
            format!(
                "Somebody, probably you, wants a new password for the account at {origin} with this address.\n\n\
                 To choose one, open this link:\n\n{link}\n\n\
                 {FIRST} Its sessions end then, and a telephone number that is linked to it is removed.\n\n\
                 The link works once, for an hour. If it was not you, do nothing: the password stays as it is."
            ),
        ),
        "magic" => (
            "Sign in",
            format!(
                "To sign in at {origin}, open this link:\n\n{link}\n\n\
                 The link works once, for 15 minutes. If you did not ask for it, do nothing."
            ),
        ),
        "magic-first" => (
            "Sign in",
            format!(
                "To sign in at {origin}, open this link:\n\n{link}\n\n\
                 {FIRST} Its password stops working then, its other sessions end, and a telephone number that is linked \
                 to it is removed. You can set a password of your own afterwards.\n\n\
                 The link works once, for 15 minutes. If you did not ask for it, do nothing."
            ),
        ),
        "confirm" => (
            "Confirm your address",
            format!(
                "To confirm that this is the address of your account at {origin}, open this link where you are signed in:\n\n{link}\n\n\
                 The link works once, for a day. If you have no account there, do nothing."
            ),
        ),
        "change" => (
            "Confirm your new address",
            format!(
                "Somebody, probably you, wants to use this address for an account at {origin}.\n\n\
                 To confirm it, open this link where you are signed in:\n\n{link}\n\n\
                 The link works once, for a day. If it was not you, do nothing."
            ),
        ),
        "taken" => (
            "This address has an account already",
            format!(
                "Somebody wants to use this address for another account at {origin}. It belongs to yours, and nothing was changed.\n\n\
                 Sign in: {origin}/sign-in"
            ),
        ),
        "changed" => (
            "Your address was changed",
            format!(
                "The account at {origin} that had this address has another one now. Mail for it goes there.\n\n\
                 If it was not you, tell whoever runs the server."
            ),
        ),
        "password" => (
            "Your password was changed",
            format!(
                "The account at {origin} with this address has a new password, and was signed out elsewhere.\n\n\
                 If it was not you, set another one: {origin}/reset"
            ),
        ),
        "invitation" => (
            "You are invited",
            format!(
                "Somebody invites you to work with them at {origin}.\n\n\
                 To see who and where, and to join, open this link:\n\n{origin}/invitation?t={token}\n\n\
                 The link is for this address alone. It works once, for 7 days. If you do not want to join, do nothing."
            ),
        ),
        _ => return None,
    };
    Some(Letter { subject: subject.into(), text: format!("{text}\n") })
}
