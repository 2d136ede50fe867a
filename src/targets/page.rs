//! How the desk does, in figures, and the part of its set-up that says by when customers are to be answered. Plain pages.

use leptos::prelude::*;

use super::{
    model::{DAYS, Figures, Targets, shown, span},
    server_fns::{read_figures, read_targets},
};
use crate::{
    accounts::zones,
    error::AppError,
    ui::{
        form::{Choice, Done, Field, FormBack, FormError, form_back},
        notice::Failed,
    },
    workspaces::page::{place, with_workspace},
};

/// How many people wait, how fast they were answered, how many conversations were resolved.
#[component]
pub fn FiguresPage() -> impl IntoView {
    with_workspace("Figures", move |workspace| {
        let place = place();
        let manages = workspace.role.manages();
        view! {
            <link rel="stylesheet" href="/desk.css"/>
            <p><a class="link" href=format!("/w/{place}/desk")>"To the queue"</a></p>
            <Suspense>
                {Suspend::new(async move {
                    match read_figures().await {
                        Ok(figures) => view! { <Shown figures/> }.into_any(),
                        Err(error) => view! { <Failed error/> }.into_any(),
                    }
                })}
            </Suspense>
            {manages.then(|| view! {
                <p><a class="button" href=format!("/w/{place}/desk/conversations.csv") download>"All conversations as CSV"</a></p>
            })}
        }
        .into_any()
    })
}

#[component]
fn Shown(figures: Figures) -> impl IntoView {
    let Figures { waiting, longest, open, late, reply, helped, rated, days } = figures;
    let fact = |called: &'static str, value: String| view! { <div><dt>{called}</dt><dd>{value}</dd></div> };
    let none = || "–".to_owned();
    let helped = if rated == 0 { none() } else { format!("{helped} of {rated}") };
    view! {
        <dl class="figures">
            {fact("Waiting now", waiting.to_string())}
            {fact("Longest wait", longest.map_or_else(none, span))}
            {fact("Open", open.to_string())}
            {fact("Late", late.to_string())}
            {fact("First reply, median", reply.map_or_else(none, span))}
            {fact("Said they were helped", helped)}
        </dl>
        <Plot days/>
        <p class="quiet">"First replies, ratings and what was resolved: the last 30 days."</p>
    }
}

/// Resolved by day: a bar each, its height by the largest.
#[component]
fn Plot(days: Vec<(String, i64)>) -> impl IntoView {
    let total: i64 = days.iter().map(|day| day.1).sum();
    let most = days.iter().map(|day| day.1).max().unwrap_or_default();
    let listed: Vec<_> = days.iter().filter(|day| day.1 > 0).cloned().collect();
    let (first, last) = (days.first().map(|day| day.0.clone()), days.last().map(|day| day.0.clone()));
    // A day is 10 wide, of which its bar takes 8; the plot is 100 high.
    let bar = move |(n, (day, many)): (usize, (String, i64))| {
        let high = many as f64 * 100.0 / most.max(1) as f64;
        view! {
            <rect x=n * 10 + 1 y=100.0 - high width="8" height=high><title>{format!("{day}: {many}")}</title></rect>
        }
    };
    let width = days.len() * 10;
    let words = format!("Resolved by day: {total} in {} days, {most} at most in one.", days.len());
    view! {
        <figure class="plot">
            <figcaption>{format!("Resolved by day, {total} in all")}</figcaption>
            <div class="plot-top">{most}</div>
            <svg viewBox=format!("0 0 {width} 100") preserveAspectRatio="none" role="img" aria-label=words>
                {days.into_iter().enumerate().map(bar).collect_view()}
            </svg>
            <div class="plot-ends"><span>{first}</span><span>{last}</span></div>
            <details class="more">
                <summary class="link">"As a list"</summary>
                <ul class="plain-list">{listed.into_iter().map(|(day, many)| view! { <li>{format!("{day}: {many}")}</li> }).collect_view()}</ul>
            </details>
        </figure>
    }
}

/// The part of a desk's set-up that sets targets, hours, and how answers go out and customers come in.
#[component]
pub fn TargetsForm(action: String, told: Option<&'static str>) -> impl IntoView {
    let back = form_back(&["set-targets"]);
    view! {
        <link rel="stylesheet" href="/desk.css"/>
        <section id="targets">
            <h2>"Targets and hours"</h2>
            <Done what=told/>
            <Suspense>
                {
                    let (back, action) = (back.clone(), action.clone());
                    Suspend::new(async move {
                        match read_targets().await {
                            Ok(targets) => view! { <Fields targets back action/> }.into_any(),
                            Err(error) => view! { <Failed error/> }.into_any(),
                        }
                    })
                }
            </Suspense>
        </section>
    }
}

#[component]
fn Fields(targets: Targets, back: Option<FormBack>, action: String) -> impl IntoView {
    let typed = |field: &str, stored: String| back.as_ref().map_or(stored, |b| b.typed(field));
    let ticked = |field: &str, stored: bool| back.as_ref().map_or(stored, |b| !b.typed(field).is_empty());
    let minutes = |stored: Option<i32>| stored.map(|m| m.to_string()).unwrap_or_default();
    let (reply, resolve) = (typed("reply", minutes(targets.reply)), typed("resolve", minutes(targets.resolve)));
    let (undo, deals) = (ticked("undo", targets.undo > 0), ticked("deals", targets.deals));
    let zone = typed("zone", targets.zone.clone());
    let zones = std::iter::once(("UTC", "UTC")).chain(zones::all().map(|zone| (zone, zone))).collect();
    let error = back.as_ref().and_then(|b| b.error.clone());
    let kept: Option<Vec<String>> = back.as_ref().map(|b| {
        b.fields.iter().filter(|(name, _)| name.starts_with("hours[")).map(|(_, value)| value.clone()).collect()
    });
    let why = match &error {
        Some(AppError::Invalid { field, why }) if field == "hours" => Some(why.clone()),
        _ => None,
    };
    let day = move |(n, name): (usize, &'static str)| {
        let stored = shown(&targets.hours, n);
        let of = |at: usize, stored: String| {
            kept.as_ref().map_or(stored, |kept| kept.get(2 * n + at).cloned().unwrap_or_default())
        };
        let (from, until) = (of(0, stored.0), of(1, stored.1));
        view! {
            <div class="hours">
                <span>{name}</span>
                <input type="time" name=format!("hours[{}]", 2 * n) value=from aria-label=format!("{name} from")/>
                <input type="time" name=format!("hours[{}]", 2 * n + 1) value=until aria-label=format!("{name} until")/>
            </div>
        }
    };
    view! {
        <form method="post" action=action>
            <FormError error=error.clone() fields=&["reply", "resolve", "zone", "hours"]/>
            <Field name="reply" label="Answer within" kind="number" required=false value=reply hint="Minutes, while a customer waits. Empty: no target." error=error.clone()/>
            <Field name="resolve" label="Resolve within" kind="number" required=false value=resolve hint="Minutes, from when a conversation came to people. Empty: no target." error=error.clone()/>
            <fieldset>
                <legend>"Hours"</legend>
                <p class="quiet">"Only minutes in these hours count. All empty: always open."</p>
                {DAYS.into_iter().enumerate().map(day).collect_view()}
                <p class="field-note bad">{why}</p>
            </fieldset>
            <Choice name="zone" label="Time zone of the hours" options=zones value=zone error/>
            <p><label><input type="checkbox" name="undo" value="true" checked=undo/>" Answers wait for 10 seconds, and can be undone until then"</label></p>
            <p><label><input type="checkbox" name="deals" value="true" checked=deals/>" Whoever waits is given to the agents who are there, in turn"</label></p>
            <button type="submit" class="button primary">"Save"</button>
        </form>
    }
}
