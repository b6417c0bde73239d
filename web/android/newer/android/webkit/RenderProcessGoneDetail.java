package android.webkit;

/** Since API 26. */
public abstract class RenderProcessGoneDetail {}
