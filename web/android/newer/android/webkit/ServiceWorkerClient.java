package android.webkit;

/** Since API 24. */
public class ServiceWorkerClient {
    public WebResourceResponse shouldInterceptRequest(WebResourceRequest request) {
        throw new UnsupportedOperationException();
    }
}
