/** Where the gateway says what happens. Messages are fixed texts, so that lines group; what varies stands in `fields`. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
