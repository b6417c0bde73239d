package android.webkit;

/** Since API 24. */
public abstract class ServiceWorkerController {
    public static ServiceWorkerController getInstance() {
        throw new UnsupportedOperationException();
    }

    public abstract void setServiceWorkerClient(ServiceWorkerClient client);
}
