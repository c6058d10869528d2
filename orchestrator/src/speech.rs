//! In which dialect a deployment is asked: the caller's own where it speaks that, else one it can be translated to.

use crate::{
    Dialect,
    catalog::{Api, Deployment, Provider, Publisher, Vertex, VertexApi},
};

/// How a request is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// In the caller's own dialect.
    Same,
    /// Translated to chat completions.
    Chat,
    /// Translated to Anthropic's messages.
    Messages,
    /// Translated to Gemini's own API.
    Gemini,
}

impl Speech {
    /// How `deployment` would be asked; `None` when it can't do that.
    pub(crate) fn choose(deployment: &Deployment, dialect: Dialect) -> Option<Self> {
        let has = |api| deployment.apis.contains(&api);
        let native = match dialect {
            Dialect::Chat => Api::Chat,
            Dialect::Completions => Api::Completions,
            Dialect::Embeddings => Api::Embeddings,
            Dialect::Responses => Api::Responses,
            Dialect::Messages | Dialect::CountTokens => Api::Messages,
        };
        if has(native) {
            return Some(Self::Same);
        }
        let is_gemini = matches!(
            &deployment.provider,
            Provider::Vertex(Vertex { publisher: Publisher::Google, api: VertexApi::Native, .. })
        );
        match dialect {
            Dialect::Chat | Dialect::Responses | Dialect::Messages if has(Api::Chat) => Some(Self::Chat),
            Dialect::Chat | Dialect::Responses | Dialect::Messages if has(Api::Messages) => Some(Self::Messages),
            Dialect::Chat | Dialect::Responses | Dialect::Messages | Dialect::Embeddings if is_gemini => {
                Some(Self::Gemini)
            }
            _ => None,
        }
    }

    /// The dialect that goes over the wire for a caller of `dialect`. Gemini's is nobody's else.
    pub(crate) fn spoken(self, dialect: Dialect) -> Dialect {
        match self {
            Self::Same | Self::Gemini => dialect,
            Self::Chat => Dialect::Chat,
            Self::Messages => Dialect::Messages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_asked_in_the_callers_dialect_where_it_speaks_it() {
        let speaks = |apis: &[Api]| Deployment { apis: apis.to_vec(), ..Deployment::default() };
        let cases = [
            (vec![Api::Chat], Dialect::Chat, Some(Speech::Same)),
            (vec![Api::Chat], Dialect::Responses, Some(Speech::Chat)),
            (vec![Api::Chat, Api::Responses], Dialect::Responses, Some(Speech::Same)),
            (vec![Api::Messages], Dialect::Chat, Some(Speech::Messages)),
            (vec![Api::Messages], Dialect::CountTokens, Some(Speech::Same)),
            (vec![Api::Chat], Dialect::CountTokens, None),
            (vec![Api::Chat], Dialect::Completions, None),
            (vec![Api::Messages], Dialect::Embeddings, None),
        ];
        for (apis, dialect, speech) in cases {
            assert_eq!(Speech::choose(&speaks(&apis), dialect), speech, "{apis:?} {dialect:?}");
        }
    }
}
