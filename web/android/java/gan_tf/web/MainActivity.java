package gan_tf.web;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.content.res.Configuration;
import android.net.Uri;
import android.os.Build;
import android.os.Bundle;
import android.os.SystemClock;
import android.provider.DocumentsContract;
import android.util.Base64;
import android.view.View;
import android.view.WindowInsets;
import android.webkit.JavascriptInterface;
import android.webkit.RenderProcessGoneDetail;
import android.webkit.ServiceWorkerClient;
import android.webkit.ServiceWorkerController;
import android.webkit.ValueCallback;
import android.webkit.WebChromeClient;
import android.webkit.WebResourceRequest;
import android.webkit.WebResourceResponse;
import android.webkit.WebSettings;
import android.webkit.WebView;
import android.webkit.WebViewClient;
import android.widget.FrameLayout;
import android.widget.Toast;
import android.window.OnBackInvokedCallback;
import android.window.OnBackInvokedDispatcher;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Collections;

/**
 * Shows the site in the assets of the app: requests of the page and its worker are answered from there, and no others.
 * The page does not register its service worker, since the assets are on the device already.
 */
public final class MainActivity extends Activity {
    private static final int SAVE = 1;
    private static final int OPEN = 2;
    private static final int LIGHT = 0xfff6f5f1; // theme-color of the page, as in res/values*/styles.xml
    private static final int DARK = 0xff141618;
    private static final int SYSTEM_UI_FLAG_LIGHT_NAVIGATION_BAR = 0x10; // since API 26
    private static final String CLOSE_DIALOG =
            "(dialog => dialog !== null && (dialog.close(), true))(document.querySelector('dialog[open]'))";
    private static final long SHORTEST_LIFE_MS = 20_000;

    private FrameLayout frame;
    private WebView page;
    private long loadedAt;
    private byte[] unsaved; // content of the file whose name is being chosen
    private ValueCallback<Uri[]> waitsForFile; // of <input type="file">

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        frame = new FrameLayout(this);
        setContentView(frame);
        frame.setOnApplyWindowInsetsListener(
                new View.OnApplyWindowInsetsListener() {
                    @Override
                    public WindowInsets onApplyWindowInsets(View view, WindowInsets insets) {
                        // From Android 15 on, the window reaches below the bars, the camera and the keyboard.
                        view.setPadding(
                                insets.getSystemWindowInsetLeft(),
                                insets.getSystemWindowInsetTop(),
                                insets.getSystemWindowInsetRight(),
                                insets.getSystemWindowInsetBottom());
                        return insets.consumeSystemWindowInsets();
                    }
                });
        setColours(); // before the page is created, which reads the theme
        ServiceWorkerController.getInstance().setServiceWorkerClient(new WorkerRequests());
        openPage();
        if (Build.VERSION.SDK_INT >= 36) {
            BackOfAndroid16.register(this);
        }
    }

    private void openPage() {
        page = new WebView(this);
        WebSettings settings = page.getSettings();
        settings.setJavaScriptEnabled(true);
        settings.setDomStorageEnabled(true);
        settings.setAllowFileAccess(false);
        page.setBackgroundColor(isNight() ? DARK : LIGHT); // until the page has its own
        page.setWebViewClient(new PageRequests());
        page.setWebChromeClient(new FileChooser());
        page.addJavascriptInterface(new Bridge(), "Android");
        frame.addView(page);
        loadedAt = SystemClock.elapsedRealtime();
        page.loadUrl("https://" + SiteFiles.HOST + "/");
    }

    @Override
    protected void onDestroy() {
        if (page != null) {
            frame.removeView(page);
            page.destroy();
        }
        super.onDestroy();
    }

    // Light and dark

    @Override
    public void onConfigurationChanged(Configuration configuration) {
        super.onConfigurationChanged(configuration);
        setColours(); // WebView reads the theme again when its view gets the new configuration, which is later
    }

    private boolean isNight() {
        int mode = getResources().getConfiguration().uiMode & Configuration.UI_MODE_NIGHT_MASK;
        return mode == Configuration.UI_MODE_NIGHT_YES;
    }

    /** Sets the theme, which becomes the page's prefers-color-scheme, and the colours of the system's bars. */
    private void setColours() {
        boolean night = isNight();
        setTheme(night ? android.R.style.Theme_Material_NoActionBar : android.R.style.Theme_Material_Light_NoActionBar);
        int colour = night ? DARK : LIGHT;
        frame.setBackgroundColor(colour);
        getWindow().setStatusBarColor(colour);
        int darkIcons = View.SYSTEM_UI_FLAG_LIGHT_STATUS_BAR;
        if (Build.VERSION.SDK_INT >= 26) {
            getWindow().setNavigationBarColor(colour);
            darkIcons |= SYSTEM_UI_FLAG_LIGHT_NAVIGATION_BAR;
        }
        frame.setSystemUiVisibility(night ? 0 : darkIcons);
    }

    // Back

    @Override
    public void onBackPressed() {
        if (page == null) {
            return; // the activity is ending
        }
        page.evaluateJavascript(
                CLOSE_DIALOG,
                new ValueCallback<String>() {
                    @Override
                    public void onReceiveValue(String closed) {
                        if (!"true".equals(closed)) {
                            moveTaskToBack(true); // the page is as it was when the user returns
                        }
                    }
                });
    }

    /** Android 16 calls this in place of onBackPressed. A class of its own, since earlier versions cannot load it. */
    private static final class BackOfAndroid16 implements OnBackInvokedCallback {
        private final MainActivity activity;

        private BackOfAndroid16(MainActivity activity) {
            this.activity = activity;
        }

        static void register(MainActivity activity) {
            try { // by its name: the android.jar of Debian has no such method
                Object dispatcher = Activity.class.getMethod("getOnBackInvokedDispatcher").invoke(activity);
                ((OnBackInvokedDispatcher) dispatcher)
                        .registerOnBackInvokedCallback(
                                OnBackInvokedDispatcher.PRIORITY_DEFAULT, new BackOfAndroid16(activity));
            } catch (ReflectiveOperationException error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public void onBackInvoked() {
            activity.onBackPressed();
        }
    }

    // Requests

    /** Returns the response to a request: a file of the assets, 404, or 403 for other servers. */
    private WebResourceResponse answer(WebResourceRequest request) {
        Uri url = request.getUrl();
        if ("data".equals(url.getScheme()) || "blob".equals(url.getScheme())) {
            return null; // WebView has the content
        }
        if (!SiteFiles.isSite(url.getScheme(), url.getHost())) {
            return response("text/plain", 403, "Forbidden", new ByteArrayInputStream(new byte[0]));
        }
        String name = SiteFiles.nameOf(url.getPath());
        try {
            return response(SiteFiles.typeOf(name), 200, "OK", getAssets().open(name));
        } catch (IOException error) {
            return response("text/plain", 404, "Not Found", new ByteArrayInputStream(new byte[0]));
        }
    }

    private static WebResourceResponse response(String type, int status, String reason, InputStream content) {
        return new WebResourceResponse(
                type, SiteFiles.encodingOf(type), status, reason, Collections.<String, String>emptyMap(), content);
    }

    /**
     * WebView asks this client for files that no frame requests: those of service workers, and also those that the page's
     * own worker loads, such as the runtime and the models.
     */
    private final class WorkerRequests extends ServiceWorkerClient {
        @Override
        public WebResourceResponse shouldInterceptRequest(WebResourceRequest request) {
            return answer(request);
        }
    }

    private final class PageRequests extends WebViewClient {
        @Override
        public WebResourceResponse shouldInterceptRequest(WebView view, WebResourceRequest request) {
            return answer(request);
        }

        // Since API 24: true if the page may not be left for this URL.
        public boolean shouldOverrideUrlLoading(WebView view, WebResourceRequest request) {
            return !SiteFiles.isSite(request.getUrl().getScheme(), request.getUrl().getHost());
        }

        // Since API 26: the page's process crashed, or the system ended it to free memory.
        public boolean onRenderProcessGone(WebView view, RenderProcessGoneDetail detail) {
            frame.removeView(view);
            view.destroy();
            page = null;
            if (SystemClock.elapsedRealtime() - loadedAt < SHORTEST_LIFE_MS) { // it would end again and again
                show("Not enough memory for this page");
                finish();
            } else {
                openPage();
            }
            return true;
        }
    }

    // Files

    /** The page calls Android.save(name, type, base64). */
    private final class Bridge {
        @JavascriptInterface
        public void save(final String name, final String type, String base64) {
            final byte[] content = Base64.decode(base64, Base64.DEFAULT);
            runOnUiThread( // calls arrive on another thread
                    new Runnable() {
                        @Override
                        public void run() {
                            unsaved = content;
                            Intent intent = new Intent(Intent.ACTION_CREATE_DOCUMENT);
                            intent.addCategory(Intent.CATEGORY_OPENABLE);
                            intent.setType(type);
                            intent.putExtra(Intent.EXTRA_TITLE, name);
                            choose(intent, SAVE);
                        }
                    });
        }
    }

    private final class FileChooser extends WebChromeClient {
        @Override
        public boolean onShowFileChooser(WebView view, ValueCallback<Uri[]> callback, FileChooserParams params) {
            answerFile(null); // to an earlier request without an answer
            waitsForFile = callback;
            Intent intent = new Intent(Intent.ACTION_GET_CONTENT);
            intent.addCategory(Intent.CATEGORY_OPENABLE);
            intent.setType("*/*"); // not all apps with files know the type of .json
            choose(intent, OPEN);
            return true;
        }
    }

    private void choose(Intent intent, int request) {
        try {
            startActivityForResult(intent, request);
        } catch (ActivityNotFoundException error) {
            onActivityResult(request, RESULT_CANCELED, null);
            show("This device has no app for files");
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        Uri file = result == RESULT_OK && data != null ? data.getData() : null;
        if (request == OPEN) {
            answerFile(file == null ? null : new Uri[] {file});
            return;
        }
        byte[] content = unsaved; // null if Android ended the app while the user chose a name
        unsaved = null;
        if (file != null) {
            write(file, content);
        }
    }

    private void answerFile(Uri[] files) {
        if (waitsForFile != null) {
            waitsForFile.onReceiveValue(files);
            waitsForFile = null;
        }
    }

    /** Writes a file in another thread, since it may be in the network. A file that cannot be written is deleted. */
    private void write(final Uri file, final byte[] content) {
        new Thread() {
            @Override
            public void run() {
                try (OutputStream out = getContentResolver().openOutputStream(file)) {
                    out.write(content);
                } catch (IOException | RuntimeException error) {
                    show("Not saved: " + error.getMessage());
                    try {
                        DocumentsContract.deleteDocument(getContentResolver(), file);
                    } catch (Exception ignored) {
                        // not all apps with files can delete
                    }
                    return;
                }
                show("Saved");
            }
        }.start();
    }

    private void show(final String message) {
        runOnUiThread(
                new Runnable() {
                    @Override
                    public void run() {
                        Toast.makeText(MainActivity.this, message, Toast.LENGTH_LONG).show();
                    }
                });
    }
}
