//! Domains as they are typed. Server only: the list of public suffixes is long.

use crate::error::AppError;

/// Where anybody gets an address. The database refuses the same, a test compares.
const FREE_MAIL: &str = "gmail.com googlemail.com icloud.com me.com mac.com aol.com aim.com msn.com passport.com ymail.com \
    rocketmail.com web.de freenet.de t-online.de arcor.de mail.de posteo.de posteo.net mailbox.org proton.me \
    protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tuta.com tuta.io tutamail.com keemail.me \
    fastmail.com fastmail.fm hey.com duck.com zoho.com zohomail.com zohomail.eu mail.com email.com usa.com \
    inbox.com hushmail.com runbox.com disroot.org riseup.net mail.ru bk.ru inbox.ru list.ru internet.ru rambler.ru \
    ya.ru ukr.net i.ua wp.pl o2.pl onet.pl interia.pl seznam.cz centrum.cz abv.bg qq.com foxmail.com 163.com \
    126.com yeah.net sina.com sina.cn sohu.com aliyun.com 139.com 189.cn naver.com hanmail.net daum.net nate.com \
    docomo.ne.jp ezweb.ne.jp softbank.ne.jp rediffmail.com orange.fr wanadoo.fr free.fr laposte.net sfr.fr neuf.fr \
    bbox.fr libero.it virgilio.it alice.it tiscali.it tin.it bluewin.ch telenet.be skynet.be ziggo.nl kpnmail.nl \
    xs4all.nl planet.nl home.nl btinternet.com virginmedia.com sky.com talktalk.net ntlworld.com comcast.net \
    verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net earthlink.net optonline.net rogers.com \
    shaw.ca sympatico.ca telus.net bigpond.com optusnet.com.au xtra.co.nz uol.com.br bol.com.br terra.com.br \
    ig.com.br mailinator.com guerrillamail.com 10minutemail.com yopmail.com users.noreply.github.com";
/// Of which there is one in many countries.
const FREE_MAIL_ANYWHERE: [&str; 8] = ["hotmail", "outlook", "live", "windowslive", "yahoo", "gmx", "yandex", "aol"];

/// A domain as it is stored: in ASCII and in small letters, without a dot at its end.
pub fn spelled(typed: &str) -> Result<String, AppError> {
    let wrong =
        || AppError::invalid("domain", "Write a domain as it stands behind the @ of your addresses: acme.example.");
    let bare = typed.trim().trim_start_matches('@');
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    if bare.is_empty() || bare.contains(|c: char| c.is_whitespace() || c.is_control() || "/\\:?#@%[]".contains(c)) {
        return Err(wrong());
    }
    // The parser of addresses on the web knows the rules for other scripts: what it makes of them is what mail servers look up.
    let url = reqwest::Url::parse(&format!("http://{bare}/")).map_err(|_| wrong())?;
    let name = url.domain().ok_or_else(wrong)?.to_owned();
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    if name.len() > 247
        || !name.contains('.')
        || !name.split('.').all(label)
        || !last.starts_with(|c: char| c.is_ascii_lowercase())
    {
        return Err(wrong());
    }
    Ok(name)
}

/// The same, if it is somebody's own, as far as can be known.
pub fn domain(typed: &str) -> Result<String, AppError> {
    let name = spelled(typed)?;
    if is_free_mail(&name) {
        let why = format!("Anybody can get an address at {name}, so it can't be the domain of a workspace.");
        return Err(AppError::invalid("domain", &why));
    }
    if psl::domain_str(&name).is_none() {
        let why = format!("Anybody can get a domain below {name}. Write your own, with what stands in front.");
        return Err(AppError::invalid("domain", &why));
    }
    Ok(name)
}

/// The domains where anybody gets an address.
pub fn free_mail() -> impl Iterator<Item = &'static str> {
    FREE_MAIL.split_ascii_whitespace()
}

fn is_free_mail(name: &str) -> bool {
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    let country = |text: &str| text.len() == 2;
    let second = rest.split_once('.').is_some_and(|(com, land)| ["co", "com"].contains(&com) && country(land));
    let anywhere = second || (!rest.contains('.') && (2..=3).contains(&rest.len()));
    free_mail().any(|known| known == name) || (FREE_MAIL_ANYWHERE.contains(&first) && anywhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_a_domain_is_stored() {
        for typed in ["acme.example", " ACME.Example. ", "@acme.example", "ａcme.example"] {
            assert_eq!(domain(typed).unwrap(), "acme.example", "{typed}");
        }
        assert_eq!(domain("Bücher.example").unwrap(), "xn--bcher-kva.example");
        assert_eq!(domain("XN--BCHER-KVA.example").unwrap(), "xn--bcher-kva.example");
        assert_eq!(domain("mail.acme.co.uk").unwrap(), "mail.acme.co.uk");
        for wrong in [
            "",
            "@",
            "acme",
            ".example",
            "acme..example",
            "acme.example..",
            "-acme.example",
            "ac_me.example",
            "127.0.0.1",
            "[::1]",
            "0x7f.1",
            "ada@acme.example",
            "acme.example/x",
            "acme.example:53",
            "http://acme.example",
            "acme .example",
            "acme.example\0",
            "_moat.acme.example",
            "*.example",
        ] {
            assert!(domain(wrong).is_err(), "{wrong:?}");
        }
        assert!(domain(&format!("{}.example", "a".repeat(64))).is_err());
        assert!(domain(&format!("{}example", "a.".repeat(125))).is_err());
    }

    #[test]
    fn what_is_everybodys_is_nobodys_domain() {
        for shared in [
            "gmail.com",
            "GMAIL.com.",
            "hotmail.co.uk",
            "yahoo.com.br",
            "live.nl",
            "gmx.net",
            "yandex.ru",
            "outlook.com",
            "web.de",
        ] {
            assert!(domain(shared).is_err_and(|e| e.to_string().contains("Anybody can get an address")), "{shared}");
        }
        for suffix in ["co.uk", "com.au", "github.io", "id.au", "k12.ca.us"] {
            assert!(domain(suffix).is_err_and(|e| e.to_string().contains("below")), "{suffix}");
        }
        // Their likes are somebody's own.
        for own in ["gmail.com.example", "mygmail.com", "live.example", "yahoo.acme.com", "acme.github.io"] {
            assert!(domain(own).is_ok(), "{own}");
        }
    }
}
