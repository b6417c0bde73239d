package android.window;

/** Since API 33. */
public interface OnBackInvokedCallback {
    void onBackInvoked();
}
