import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/// Fills and drops memory all the while, so that the collector moves it, and looks whether it is what was put there.
/// Answers "check" on standard input with "ok WORK", or "harmed TEXT"; ends when the input does.
public final class Load {
  private static final int THREADS = 3;
  private static final int MOST_ENTRIES = 2000;
  private static final AtomicLong work = new AtomicLong();
  private static final AtomicReference<String> harm = new AtomicReference<>();

  public static void main(String[] arguments) throws Exception {
    for (int number = 0; number < THREADS; number++) {
      long seed = number + 1;
      Thread thread = new Thread(() -> goOn(seed));
      thread.setDaemon(true);
      thread.start();
    }
    System.out.println("ready");
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      long before = work.get();
      // It does go on.
      while (harm.get() == null && work.get() < before + 100) {
        Thread.sleep(1);
      }
      System.out.println(harm.get() != null ? "harmed " + harm.get() : "ok " + work.get());
    }
  }

  private static void goOn(long seed) {
    try {
      Map<Long, long[]> kept = new HashMap<>();
      List<String> texts = new ArrayList<>();
      for (long number = seed;; number += THREADS) {
        long[] numbers = new long[16 + (int) (number % 500)];
        for (int at = 0; at < numbers.length; at++) {
          numbers[at] = number * 31 + at;
        }
        long key = number * 2654435761L % MOST_ENTRIES;
        check(kept.put(key, numbers));
        texts.add("text of " + number);
        if (texts.size() > MOST_ENTRIES) {
          texts.clear();
        }
        work.incrementAndGet();
      }
    } catch (Throwable error) {
      harm.compareAndSet(null, error.toString());
    }
  }

  private static void check(long[] numbers) {
    if (numbers == null) {
      return;
    }
    for (int at = 0; at < numbers.length; at++) {
      if (numbers[at] != numbers[0] + at) {
        harm.compareAndSet(null, "a number of " + numbers.length + " changed, at " + at);
      }
    }
  }
}
