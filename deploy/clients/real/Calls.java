import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.UUID;

/** The calls of README.md with the HttpClient of the JDK, which offers HTTP/2 by Upgrade on its first request. */
class Calls {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();
    private static String url;
    private static String token;

    public static void main(String[] arguments) throws Exception {
        url = arguments[0];
        token = arguments[1];
        var order = """
            {"items": [{"product_id": "%s", "quantity": 1}], "shipping_address":
             {"name": "A", "line1": "1", "city": "L", "postal_code": "1", "country": "GB"}}
            """.formatted(arguments[2]);
        var one = "/api/v1/products/" + arguments[2];
        var first = call("GET", 200, request(one).GET());
        call("GET again", 200, request(one).GET());
        var tag = first.headers().firstValue("etag").orElseThrow();
        call("conditional GET", 304, request(one).header("If-None-Match", tag).GET());
        call("HEAD", 200, request(one).method("HEAD", BodyPublishers.noBody()));
        call("POST", 201, post().POST(BodyPublishers.ofString(order)));
        // Without a known length the client sends chunks.
        call("POST in chunks", 201, post().POST(
            BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(order.getBytes()))));
        call("POST after 100 Continue", 201, post().expectContinue(true).POST(BodyPublishers.ofString(order)));
        System.out.println("Java: all calls are as expected");
    }

    private static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(url + path)).timeout(Duration.ofSeconds(60));
    }

    private static HttpRequest.Builder post() {
        return request("/api/v1/orders")
            .header("Authorization", "Bearer " + token)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", UUID.randomUUID().toString());
    }

    private static HttpResponse<String> call(String name, int status, HttpRequest.Builder request) throws Exception {
        var answer = CLIENT.send(request.build(), BodyHandlers.ofString());
        if (answer.statusCode() != status) {
            throw new AssertionError(name + ": " + answer.statusCode() + ", expected " + status + ": " + answer.body());
        }
        return answer;
    }
}
