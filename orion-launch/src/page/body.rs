// SPDX-License-Identifier: MPL-2.0
//! The body of a request, which has to come soon: who sends none keeps a connection that others want.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::routes::refusal;

/// Time for the whole of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// All of a body.
#[derive(Debug)]
pub(super) struct Whole(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        within(PATIENCE, request, state).await
    }
}

async fn within<S: Send + Sync>(patience: Duration, request: Request, state: &S) -> Result<Whole, Response> {
    match tokio::time::timeout(patience, Bytes::from_request(request, state)).await {
        Ok(read) => read.map(Whole).map_err(IntoResponse::into_response),
        Err(_) => {
            let why = format!("the request did not come within {} s", patience.as_secs_f64());
            Err(refusal(StatusCode::REQUEST_TIMEOUT, &why))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let endless = Request::new(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
        let refused = within(Duration::from_millis(20), endless, &()).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
        let read = within(Duration::from_secs(20), Request::new(Body::from("{}")), &()).await.unwrap();
        assert_eq!(read.0, "{}");
    }
}
