//! Macros for ids and closed sets of words. They live here so that no view model needs a cfg of its own.

/// A UUID that can't be mistaken for another table's.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "ssr", derive(sqlx::Type), sqlx(transparent))]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

/// A closed set of words: the same spelling in Rust, in JSON and in the column's CHECK.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "ssr", derive(sqlx::Type), sqlx(type_name = "text"))]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] #[cfg_attr(feature = "ssr", sqlx(rename = $word))] $variant),+
        }

        impl $name {
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

id!(
    /// `app.users.id`, the `sub` of a token.
    UserId
);
id!(
    /// `app.sessions.id`, the `sid` of a token.
    SessionId
);
id!(
    /// A request for a code by telephone: `app.codes.id`.
    AskId
);
id!(
    /// `app.threads.id`
    ThreadId
);
id!(
    /// `app.messages.id`
    MessageId
);
id!(
    /// `app.generations.id`
    GenerationId
);
id!(
    /// `app.folders.id`
    FolderId
);
id!(
    /// `app.imports.id`
    ImportId
);
id!(
    /// Where somebody acts: the id of their own membership of a workspace, or of a project where they are its guest. It stands
    /// in addresses in the place of the workspace's id, which no browser ever sees, and opens nothing for anybody else.
    PlaceId
);
id!(
    /// `app.workspaces.id`, which a program's token names. In no page, form, address or answer to a browser.
    WorkspaceId
);
id!(
    /// `app.workspace_members.id` or `app.project_members.id`: somebody in a list of members.
    MemberId
);
id!(
    /// `app.projects.id`
    ProjectId
);
id!(
    /// `app.invitations.id`
    InvitationId
);
id!(
    /// `app.workspace_domains.id`
    DomainId
);
id!(
    /// `app.conversations.id`
    ConversationId
);
id!(
    /// `app.widget_keys.id`
    KeyId
);
id!(
    /// `app.articles.id`
    ArticleId
);
id!(
    /// `app.replies.id`
    ReplyId
);
id!(
    /// `app.saved_views.id`
    ViewId
);
id!(
    /// `app.relay_secrets.id`
    SecretId
);
id!(
    /// `app.webhooks.id`
    WebhookId
);
id!(
    /// `app.deliveries.id`
    DeliveryId
);
id!(
    /// Whose events: a person's id, a workspace's for its desk, or a conversation's for its customer. It stays in the server.
    TopicId
);
id!(
    /// Made by the client, so that a request that is sent twice is stored once.
    ClientId
);

impl AskId {
    /// Not to be guessed: it is what a code is tried against.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl ClientId {
    /// A fresh one, for one form or one try and all its repetitions.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

words!(
    /// `app.mail_tokens.purpose`: what a mailed link does.
    Purpose {
        SignUp = "sign-up",
        Reset = "reset",
        Magic = "magic",
        Confirm = "confirm",
        Change = "change",
    }
);
words!(
    /// Whether a mailed link can still be used.
    LinkState { Good = "good", Used = "used", Expired = "expired" }
);
words!(
    /// `app.messages.role`
    Role { User = "user", Assistant = "assistant" }
);
words!(
    /// `app.generations.status`. Everything but `Running` is final.
    Status {
        Running = "running",
        Done = "done",
        Stopped = "stopped",
        /// The server died, or lost the database: the lease lapsed.
        Interrupted = "interrupted",
        /// The model gave an error; the generation's `why` says which.
        Failed = "failed",
    }
);
words!(
    /// `app.workspace_members.role`
    MemberRole {
        Owner = "owner",
        Admin = "admin",
        /// Called a member on screens.
        ProjectCreator = "project_creator",
    }
);
words!(
    /// `app.workspaces.colour`
    Colour {
        /// That of moat itself, blue.
        Usual = "",
        Teal = "teal",
        Green = "green",
        Orange = "orange",
        Red = "red",
        Pink = "pink",
        Violet = "violet",
    }
);
words!(
    /// `app.project_members.role`
    ProjectRole {
        Owner = "owner",
        Manager = "manager",
        Contributor = "contributor",
        Viewer = "viewer",
        /// From outside: sees the project and signs what is put before them.
        CustomerSigner = "customer_signer",
    }
);
words!(
    /// `app.users.status`. No lane opens for anybody but the active.
    UserStatus {
        Invited = "invited",
        Waitlist = "waitlist",
        Active = "active",
        Inactive = "inactive",
        Banned = "banned",
        Archived = "archived",
    }
);
words!(
    /// `app.conversations.status`
    ConversationStatus {
        /// The bot answers.
        Bot = "bot",
        /// For somebody to take it.
        Waiting = "waiting",
        /// An agent has it.
        Claimed = "claimed",
        /// Put off, until a time or until the customer says something.
        Snoozed = "snoozed",
        Resolved = "resolved",
    }
);
words!(
    /// `app.conversation_messages.role`
    ConversationRole {
        Customer = "customer",
        Bot = "bot",
        Agent = "agent",
        /// For the staff alone, as is the next.
        Note = "note",
        /// What was done.
        System = "system",
    }
);
words!(
    /// What can be done with chats of the list, one or many.
    Act {
        Pin = "pin",
        Unpin = "unpin",
        Archive = "archive",
        Unarchive = "unarchive",
        Read = "read",
        Unread = "unread",
        /// Can be taken back for a while.
        Delete = "delete",
        Restore = "restore",
        /// Into a folder, or out of any.
        Move = "move",
    }
);
words!(
    /// What can be asked about: who can see it?
    Subject { Thread = "thread", Project = "project", Event = "event" }
);
words!(
    /// Which chats a list shows. None is in two of these by itself: what is archived is in no other list.
    Shelf { All = "all", Archived = "archived", Unread = "unread" }
);
