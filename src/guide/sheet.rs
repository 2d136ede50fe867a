//! The sheet of keys: what the guide says about them, over the page that one is on. Written beside the page and not in it, so
//! that the browser keeps no code for it.

use super::library::Library;

/// The closed sheet. Empty when the guide has no such page.
pub fn html(guide: &Library) -> String {
    let page = guide.page("keys").map(|page| page.html).unwrap_or_default();
    let table = page.split_once("<table>").and_then(|(_, rest)| rest.split_once("</table>"));
    let Some((table, _)) = table else { return String::new() };
    format!(
        "<dialog id=\"keys-sheet\" aria-labelledby=\"keys-title\" closedby=\"any\">\
         <form method=\"dialog\"><h2 id=\"keys-title\">Keys</h2><button class=\"button\" autofocus>Close</button></form>\
         <div class=\"prose\"><table>{table}</table></div>\
         <form method=\"post\" action=\"/chat?do=keys\"><p class=\"quiet\">Keys of one letter do nothing where you type.</p>\
         <button class=\"button\" name=\"keys\" value=\"off\">Turn keys of one letter off</button>\
         <button class=\"button\" name=\"keys\" value=\"on\">Turn keys of one letter on</button></form></dialog>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_lists_what_the_guide_lists() {
        let html = html(&Library::shipped());
        let sheet = scraper::Html::parse_fragment(&html);
        let count = |what: &str| sheet.select(&scraper::Selector::parse(what).unwrap()).count();
        assert!(count("dialog tbody tr") > 8, "{html}");
        assert_eq!(count("dialog tbody tr"), count("dialog tbody td:first-child code:first-child"), "{html}");
    }
}
