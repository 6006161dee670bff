// Stands in for sync-request, which listens on a port as soon as it is loaded:
// there is no network in an engine's container, and box-js downloads nothing.
module.exports = () => {
  throw new Error("there is no network");
};
