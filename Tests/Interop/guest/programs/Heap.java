import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/** Objects that are made anew by threads all the while, each of which knows what it must hold. */
public class Heap {
    static final int THREADS = 3;
    static final int OBJECTS = 30_000;
    static final int BATCH = 50;

    record Thing(int key, int generation, String text) {
        static Thing make(int key, int generation) {
            return new Thing(key, generation, (key + ":" + generation + ":").repeat(5 + key % 20));
        }
    }

    /** A share of the objects, which one thread writes. */
    static class Share extends Thread {
        final Map<Integer, Thing> things = new HashMap<>();
        final int[] generations = new int[OBJECTS / THREADS];
        long writes;

        Share(int number) {
            setDaemon(true);
            for (int key = 0; key < generations.length; key++) replace(key);
        }

        void replace(int key) {
            generations[key]++;
            things.put(key, Thing.make(key, generations[key]));
        }

        synchronized void write(Random random) {
            for (int count = 0; count < BATCH; count++) replace(random.nextInt(generations.length));
            writes += BATCH;
        }

        @Override
        public void run() {
            Random random = new Random(getId());
            while (true) {
                write(random);
                try {
                    sleep(10);
                } catch (InterruptedException e) {
                    return;
                }
            }
        }

        synchronized void check() {
            long sum = 0;
            for (int key = 0; key < generations.length; key++) {
                if (!things.get(key).equals(Thing.make(key, generations[key])))
                    throw new IllegalStateException("object " + key + " is " + things.get(key));
                sum += generations[key];
            }
            if (sum != generations.length + writes) throw new IllegalStateException("generations add up to " + sum);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Share[] shares = new Share[THREADS];
        for (int number = 0; number < THREADS; number++) shares[number] = new Share(number);
        for (Share share : shares) share.start();
        System.out.println("ready");
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String command; (command = commands.readLine()) != null; ) {
            try {
                long writes = 0;
                for (Share share : shares) {
                    if (command.equals("check")) share.check();
                    synchronized (share) {
                        writes += share.writes;
                    }
                }
                System.out.println(command.equals("check") ? "ok objects=" + OBJECTS : Long.toString(writes));
            } catch (Exception e) {
                System.out.println("failed " + e);
            }
        }
    }
}
