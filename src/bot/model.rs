use serde::{Deserialize, Serialize};

use crate::{error::AppError, types::ArticleId};

/// How the assistant begins when it has found nothing, and what a model is told to begin with then.
pub const UNSURE: &str = "I don't know";
const WORDS_MAX: usize = 50;

/// What an answer was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub article: ArticleId,
    pub title: String,
    /// The heading; empty for an article's beginning.
    pub section: String,
    /// Where it begins on the article's page.
    #[serde(default)]
    pub anchor: String,
}

/// The assistant of a desk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bot {
    pub on: bool,
    pub name: String,
    /// Whoever says one of these is for people at once.
    pub words: Vec<String>,
}

/// Words that are for people, as a list that somebody typed.
pub fn words(typed: &str) -> Result<Vec<String>, AppError> {
    let mut words: Vec<String> = Vec::new();
    for word in typed.split([',', '\n', '\r']).map(|word| word.split_whitespace().collect::<Vec<_>>().join(" ")) {
        if word.chars().any(char::is_control) {
            return Err(AppError::invalid("words", "This contains a character that can't be stored."));
        }
        if word.chars().count() > 60 {
            return Err(AppError::invalid("words", "One of these is longer than 60 characters."));
        }
        if !word.is_empty() && !words.iter().any(|known| known.eq_ignore_ascii_case(&word)) {
            words.push(word);
        }
    }
    if words.len() > WORDS_MAX {
        return Err(AppError::invalid("words", "Name 50 of them at most."));
    }
    Ok(words)
}

/// Why a conversation is for people before the assistant has said anything to the customer's `text`; `None`: it is not.
pub fn for_people(text: &str, words: &[String]) -> Option<String> {
    let said = plain(text);
    if let Some(word) = words.iter().find(|word| said.contains(&plain(word))) {
        return Some(format!("the customer wrote “{word}”"));
    }
    asks_for_a_person(&said).then(|| "the customer asked for a person".to_owned())
}

/// Lower case, each word between two spaces, so that "agent" is not found in "agenda".
fn plain(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    format!(" {} ", words.join(" "))
}

fn asks_for_a_person(said: &str) -> bool {
    const WHO: [&str; 17] = [
        " anybody ",
        " anyone ",
        " support staff ",
        " customer service ",
        " customer support ",
        " your colleagues ",
        " the team ",
        " human ",
        " real person ",
        " a person ",
        " an agent ",
        " live agent ",
        " somebody ",
        " someone ",
        " representative ",
        " operator ",
        " support agent ",
    ];
    const HOW: [&str; 8] =
        [" talk ", " speak ", " chat with ", " write to ", " connect me ", " get me ", " transfer me ", " call me "];
    const ALONE: [&str; 5] = [" human ", " agent ", " person ", " operator ", " real person "];
    // Whoever names one so means one to talk to, whatever else they say.
    const WANTED: [&str; 14] = [
        " a human being ",
        " a real person ",
        " a real human ",
        " a live agent ",
        " a human agent ",
        " a human please ",
        " to a robot ",
        " to a bot ",
        " to a machine ",
        " anybody there ",
        " anyone there ",
        " one of your colleagues ",
        " mit einem menschen ",
        " mit jemandem sprechen ",
    ];
    const FIRST: [&str; 4] = [" human please ", " agent please ", " real person please ", " operator please "];
    const WANTS: [&str; 5] =
        [" need a human ", " want a human ", " want an agent ", " need an agent ", " is there a human "];
    ALONE.contains(&said)
        || FIRST.iter().any(|first| said.starts_with(first))
        || WANTED.iter().chain(&WANTS).any(|words| said.contains(words))
        || WHO.iter().any(|who| said.contains(who)) && HOW.iter().any(|how| said.contains(how))
}

/// Whether an answer says that there is none: in its first words, which may be polite ones.
pub fn is_unsure(answer: &str) -> bool {
    let first: String = answer.trim_start().chars().take(60).collect();
    first.replace('’', "'").to_lowercase().contains(&UNSURE.to_lowercase())
}

/// Whether somebody has said hello and nothing else.
pub fn is_greeting(text: &str) -> bool {
    const HELLO: [&str; 12] =
        ["hi", "hello", "hey", "good", "morning", "afternoon", "evening", "day", "there", "dear", "team", "hallo"];
    let said = plain(text);
    let words: Vec<&str> = said.split_whitespace().collect();
    !words.is_empty() && words.len() <= 4 && words.iter().all(|word| HELLO.contains(word))
}

/// Whether somebody has said thanks or goodbye and nothing else.
pub fn is_thanks(text: &str) -> bool {
    const THANKS: [&str; 12] = [
        "thanks", "thank", "thx", "cheers", "bye", "goodbye", "perfect", "great", "super", "danke", "merci", "gracias",
    ];
    const AROUND: [&str; 22] = [
        "ok", "okay", "you", "very", "much", "so", "a", "lot", "many", "that", "helps", "helped", "is", "was", "it",
        "all", "good", "fine", "for", "the", "help", "and",
    ];
    let said = plain(text);
    let words: Vec<&str> = said.split_whitespace().collect();
    words.len() <= 8
        && words.iter().any(|word| THANKS.contains(word))
        && words.iter().all(|word| THANKS.contains(word) || AROUND.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_a_person_is_understood_and_whoever_only_mentions_one_is_not() {
        for asked in [
            "Can I talk to a human?",
            "human",
            "Agent, please!",
            "I want to SPEAK to someone",
            "please transfer me to an agent",
            "get me a real person",
            "human please, my saddle squeaks",
            "It still squeaks. Is there a human there?",
            "I don't want this, I want a real person",
            "I want to chat with support staff",
            "Please connect me with customer service.",
            "I don't want to talk to a robot",
            "Is there anybody there?",
            "Can one of your colleagues help me with my delivery?",
            "Could somebody call me about my delivery?",
            "Kann ich mit einem Menschen sprechen?",
        ] {
            assert!(for_people(asked, &[]).is_some(), "{asked}");
        }
        for other in [
            "What is on the agenda?",
            "My parcel went to another person",
            "Do you have human hair wigs?",
            "I want human hair wigs, please",
            "I need someone to be at home for it?",
            "When is customer service open?",
            "Is someone in the shop?",
        ] {
            assert!(for_people(other, &[]).is_none(), "{other}");
        }
    }

    #[test]
    fn thanks_alone_are_thanks_and_with_a_question_they_are_a_question() {
        for thanks in
            ["thanks", "ok, perfect, thank you!", "Thanks a lot, that helped.", "Bye", "great, thanks for the help"]
        {
            assert!(is_thanks(thanks), "{thanks}");
        }
        for other in
            ["ok", "thanks, and how much is it to France?", "That was not good", "It is all perfect but the colour"]
        {
            assert!(!is_thanks(other), "{other}");
        }
    }

    #[test]
    fn hello_alone_is_a_greeting_and_an_answer_may_be_unsure_politely() {
        assert!(
            is_greeting("Hello!")
                && is_greeting("good morning")
                && !is_greeting("hello, where is it")
                && !is_greeting("?")
        );
        assert!(is_unsure("I'm sorry, I don’t know that.") && !is_unsure("It takes three days."));
    }

    #[test]
    fn words_that_are_for_people_are_found_as_whole_words_whatever_their_case() {
        let known = words("Refund, legal action\nrefund").unwrap();
        assert_eq!(known, ["Refund", "legal action"]);
        assert!(for_people("I want a REFUND!", &known).unwrap().contains("Refund"));
        assert!(for_people("I'll take legal  action.", &known).is_some());
        assert!(for_people("Is this refundable?", &known).is_none());
        assert!(words(&"long".repeat(20)).is_err());
    }
}
