import com.azure.json.JsonProviders;
import com.azure.json.JsonReader;
import com.azure.json.JsonWriter;
import com.microsoft.aad.msal4j.HttpRequest;
import com.microsoft.aad.msal4j.HttpResponse;
import com.microsoft.aad.msal4j.IAuthenticationResult;
import com.microsoft.aad.msal4j.IHttpClient;
import com.microsoft.aad.msal4j.IHttpResponse;
import com.microsoft.aad.msal4j.PublicClientApplication;
import com.microsoft.aad.msal4j.UserNamePasswordParameters;
import java.io.FileInputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Signs in with Microsoft's own library by user name and password.
 *
 * <p>Reads {"cloud", "ca", "user", "password"} as JSON on standard input and prints {"user"} or
 * {"error"}. Requests for login.microsoftonline.com go to the cloud's stand-in; everything else goes
 * where the library wants it to go.
 */
final class SignIn {
    private static final String MICROSOFT = "https://login.microsoftonline.com";

    /** Client sends what is meant for Microsoft to the stand-in. */
    private record Client(HttpClient http, String cloud) implements IHttpClient {
        @Override
        public IHttpResponse send(HttpRequest request) throws Exception {
            var url = request.url().toString();
            if (url.startsWith(MICROSOFT)) {
                url = cloud + url.substring(MICROSOFT.length());
            }
            var body = request.body() == null
                    ? java.net.http.HttpRequest.BodyPublishers.noBody()
                    : java.net.http.HttpRequest.BodyPublishers.ofString(request.body());
            var sent = java.net.http.HttpRequest.newBuilder(URI.create(url)).method(request.httpMethod().name(), body);
            if (request.headers() != null) {
                request.headers().forEach(sent::header);
            }
            var got = http.send(sent.build(), java.net.http.HttpResponse.BodyHandlers.ofString());
            var answer = new HttpResponse();
            answer.statusCode(got.statusCode());
            answer.body(got.body());
            answer.addHeaders(got.headers().map());
            return answer;
        }
    }

    private static SSLContext trusting(String ca) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream in = new FileInputStream(ca)) {
            var certificates = CertificateFactory.getInstance("X.509").generateCertificates(in);
            for (var certificate : certificates) {
                store.setCertificateEntry("ca" + store.size(), certificate);
            }
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    private static IAuthenticationResult signIn(Map<?, ?> job) throws Exception {
        var http = HttpClient.newBuilder().sslContext(trusting((String) job.get("ca"))).build();
        var app = PublicClientApplication.builder("00000000-1111-2222-3333-444444444444")
                .authority(MICROSOFT + "/organizations")
                .instanceDiscovery(false)
                .httpClient(new Client(http, (String) job.get("cloud")))
                .build();
        var who = UserNamePasswordParameters.builder(
                Set.of("User.Read"), (String) job.get("user"), ((String) job.get("password")).toCharArray());
        return app.acquireToken(who.build()).get();
    }

    public static void main(String[] args) throws Exception {
        Map<?, ?> job;
        try (JsonReader reader = JsonProviders.createReader(System.in.readAllBytes())) {
            job = (Map<?, ?>) reader.readUntyped();
        }
        var name = "user";
        String value;
        try {
            value = signIn(job).account().username();
        } catch (ExecutionException e) {
            name = "error";
            value = e.getCause().toString();
        }
        try (JsonWriter writer = JsonProviders.createWriter(System.out)) {
            writer.writeStartObject().writeStringField(name, value).writeEndObject();
        }
    }
}
