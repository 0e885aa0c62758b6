use leptos::prelude::*;
use roles::Conversation;

use super::icon::{self, icon};
use crate::{app::app, chat::Chat, i18n::Text};

/// Letters of a conversation's first question that serve as its title.
const TITLE: usize = 48;

/// Earlier conversations with this role: to go back to, or to delete.
#[component]
pub fn History(chat: Chat) -> impl IntoView {
    let app = app();
    let i18n = app.i18n;
    let deleted = RwSignal::new(None::<(usize, Conversation)>);
    let delete = move |index: usize| deleted.set(chat.forget(index).map(|conversation| (index, conversation)));
    let undo = move |_| {
        if let Some((index, conversation)) = deleted.try_update(Option::take).flatten() {
            chat.put_back(index, conversation);
        }
    };
    let busy = move || chat.answering.get().is_some();
    let row = move |(index, conversation): (usize, Conversation)| {
        view! {
            <li>
                <button class="quiet" disabled=busy on:click=move |_| chat.restore(index)>{title(&conversation)}</button>
                <button
                    class="quiet icon"
                    aria-label=i18n.t(Text::DeleteChat)
                    title=i18n.t(Text::DeleteChat)
                    on:click=move |_| delete(index)
                >
                    "×"
                </button>
            </li>
        }
    };
    let rows = move || chat.earlier.get().into_iter().enumerate().map(row).collect_view();
    view! {
        <Show when=move || chat.earlier.with(|earlier| !earlier.is_empty()) || deleted.with(Option::is_some)>
            <button class="quiet" popovertarget="history" data-testid="history" title=i18n.t(Text::EarlierChats)>
                {icon(icon::CLOCK)} <span class="word">{i18n.t(Text::EarlierChats)}</span>
            </button>
            <div class="sheet" id="history" popover="auto">
                    <ul class="history">{rows}</ul>
                    <p class="notice" role="status" hidden=move || deleted.with(Option::is_none)>
                        {i18n.t(Text::ChatDeleted)} " "
                        <button class="quiet small" on:click=undo>{i18n.t(Text::Undo)}</button>
                    </p>
            </div>
        </Show>
    }
}

fn title(conversation: &Conversation) -> String {
    let first = conversation.turns().into_iter().next().map(|turn| turn.message.content).unwrap_or_default();
    match first.char_indices().nth(TITLE) {
        Some((end, _)) => format!("{}…", &first[..end]),
        None => first,
    }
}
