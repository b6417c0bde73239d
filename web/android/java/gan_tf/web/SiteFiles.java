package gan_tf.web;

/** Which file of the site a URL stands for, and its type. Plain Java, so that it can be tested without Android. */
final class SiteFiles {
    /** Reserved by Google for assets of apps: no server has this name. */
    static final String HOST = "appassets.androidplatform.net";

    private static final String[][] TYPES = {
        {"html", "text/html"},
        {"css", "text/css"},
        {"js", "text/javascript"},
        {"json", "application/json"},
        {"webmanifest", "application/manifest+json"},
        {"wasm", "application/wasm"},
        {"png", "image/png"},
        {"", "text/plain"},
    };

    private SiteFiles() {}

    /** Returns true for URLs of the site. */
    static boolean isSite(String scheme, String host) {
        return "https".equals(scheme) && HOST.equals(host);
    }

    /** Returns the name of the asset for the path of a URL: "/" is index.html. */
    static String nameOf(String path) {
        String name = path == null || path.isEmpty() ? "" : path.substring(1);
        return name.isEmpty() || name.endsWith("/") ? name + "index.html" : name;
    }

    /** Returns the MIME type of a file, such as "text/javascript". */
    static String typeOf(String name) {
        String file = name.substring(name.lastIndexOf('/') + 1);
        String suffix = file.substring(file.lastIndexOf('.') + 1);
        for (String[] type : TYPES) {
            if (type[0].equals(file.contains(".") ? suffix : "")) {
                return type[1];
            }
        }
        return "application/octet-stream";
    }

    /** Returns the character encoding of a type, null for bytes. */
    static String encodingOf(String type) {
        return type.startsWith("text/") || type.endsWith("json") ? "utf-8" : null;
    }
}
