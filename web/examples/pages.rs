//! Serves the pages against an appliance that runs already, for whoever works on them:
//! `cargo run -p acquit-web --example pages -- http://127.0.0.1:8440 127.0.0.1:8500`.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let appliance = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:8440".to_owned());
    let listen = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:8500".to_owned());
    let api = Router::new()
        .fallback(forward)
        .with_state((reqwest::Client::new(), appliance));
    let settings = acquit_web::Settings {
        carry: |_, _| (),
        secure: false,
        single_sign_on: false,
    };
    let listener = TcpListener::bind(listen).await?;
    axum::serve(listener, acquit_web::router(api, settings)).await?;
    Ok(())
}

/// Passes a request on to the appliance.
async fn forward(
    State((client, appliance)): State<(reqwest::Client, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let asked = client
        .request(parts.method, format!("{appliance}{path}"))
        .headers(headers)
        .body(body);
    match asked.send().await {
        Ok(answer) => {
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = Body::from_stream(answer.bytes_stream());
            (status, headers, body).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
