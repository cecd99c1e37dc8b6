//! A plain file server for one folder.

use std::path::Path;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::map_response;
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower_http::services::ServeDir;

use crate::policy;

/// Serves a folder to this machine only, under a path, until it is stopped; port 0 is any free one.
/// The address is printed, and opened in the system's browser if requested and if there is one.
pub(crate) fn serve(folder: &Path, port: &str, under: &str, show: bool) -> Result<(), String> {
    let port: u16 = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
    let files = ServeDir::new(folder);
    let (router, under) = match under.trim_matches('/') {
        "" => (Router::new().fallback_service(files), "/".to_owned()),
        under => {
            let under = format!("/{under}");
            (Router::new().nest_service(&under, files), format!("{under}/"))
        }
    };
    let policy = HeaderValue::try_from(policy::header()?).map_err(|error| error.to_string())?;
    let router = router.layer(map_response(move |response| guarded(response, policy.clone())));
    let failed = |error: std::io::Error| format!("port {port}: {error}");
    Runtime::new().map_err(failed)?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let address = format!("http://{}{under}", listener.local_addr().map_err(failed)?);
        println!("{address}");
        if show && let Err(error) = open::that_detached(&address) {
            eprintln!("web: cannot open a browser ({error}); the page is at that address");
        }
        axum::serve(listener, router).await.map_err(failed)
    })
}

/// Has browsers take a file for what its name says, since a text that looks like a page is none, and
/// lets it do no more than the page has to.
async fn guarded(mut response: Response, policy: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}
